"""What a loader's worker process does when it starts."""

import os
import random
import signal
import threading

import numpy as np
import torch


def start_worker(worker):
    """For DataLoader's worker_init_fn: NumPy and Python seeded from torch's worker seed, deaf to Ctrl-C.

    Signals are for the main process, which still needs its workers to finish the step: a SIGTERM, which clusters send
    to every process, is heeded where the main process sent it, as it does when it ends. (Where it is gone, torch's
    workers notice, and end by themselves.)
    """
    seed = torch.initial_seed() % 2**32
    random.seed(seed)
    np.random.seed(seed)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # macOS has none: there a SIGTERM to all ends the workers, and with them the run
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_with_the_main_process, daemon=True).start()


def _end_with_the_main_process():
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
