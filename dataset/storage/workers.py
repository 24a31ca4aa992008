"""Worker processes. They are forked by a process without threads: a fork of one that has threads, as training has, may
inherit a lock that is never released."""

import os
import random
import signal
import sys
import threading
from contextlib import contextmanager
from functools import cache
from multiprocessing import connection, forkserver, get_all_start_methods, get_context, parent_process, resource_tracker
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[2]


@cache
def worker_context():
    """The multiprocessing context of all workers: forkserver, or spawn where the system has none.

    The fork server starts here, at the first call. It has one thread, ignores SIGTERM, and imports the modules of this
    project that this process has imported, which takes seconds: call it early.
    """
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload([name for name, module in sys.modules.items() if _is_ours(name, module)])
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    resource_tracker.ensure_running()  # which the fork server would start first, and which unblocks SIGTERM at its end
    # A SIGTERM to all processes of a job asks the main process to save: it needs its workers for the step it is in.
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        with _environment(PYTHONPATH=paths, **threads):
            forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
    return context


def _is_ours(name, module):
    path = getattr(module, "__file__", None) or ""
    return name != "__main__" and path.startswith(str(ROOT)) and "site-packages" not in path


def worker_options(workers: int) -> dict:
    """DataLoader's arguments for so many workers."""
    if workers == 0:
        return {"num_workers": 0}
    return {"num_workers": workers, "multiprocessing_context": worker_context(), "worker_init_fn": start_worker}


def start_worker(worker: int):
    """For DataLoader's worker_init_fn: NumPy and Python seeded from torch's worker seed.

    Signals are for the main process, which needs its workers to finish the step: a worker ignores Ctrl-C, obeys a
    SIGTERM that the main process sent, and ends when the main process has ended.
    """
    seed = torch.initial_seed() % 2**32
    random.seed(seed)
    np.random.seed(seed)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # macOS has none: there a SIGTERM to all ends the workers, and with them the run
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # here, and in the threads that start from now on
        threading.Thread(target=_obey_the_main_process, daemon=True).start()
    threading.Thread(target=_end_with_the_main_process, daemon=True).start()


def _end_with_the_main_process():
    connection.wait([parent_process().sentinel])
    os._exit(1)


def _obey_the_main_process():
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent_process().pid:
        pass
    os._exit(0)


@contextmanager
def _environment(**values):
    """Sets environment variables meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
