"""Work on many items in several processes, in order."""

import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from dataset.storage.workers import worker_context

LIMIT = 300  # seconds for one item: a 10 s clip takes a fraction of one, and a film of two hours still ends


def map_in_order(function: Callable, items: Iterable, workers: int, crashed: Callable | None = None) -> Iterator:
    """Yields function(item) for each item, in order, from `workers` processes (0: in this one).

    Only a few items a worker are under way at any time, so that memory does not grow with the number of items. Where
    an item kills its process, as a decoder can, or takes longer than LIMIT, crashed(item) stands for its result;
    without `crashed` BrokenProcessPool is raised.
    """
    if workers == 0:
        yield from map(function, items)
        return
    items = iter(items)
    while True:
        under_way = deque()  # (item, its future)
        with _pool(workers) as pool:
            try:
                for item in items:
                    under_way.append((item, pool.submit(_limited, function, item, LIMIT)))
                    if len(under_way) == 4 * workers:
                        yield under_way[0][1].result()
                        under_way.popleft()
                while under_way:
                    yield under_way[0][1].result()
                    under_way.popleft()
                return
            except BrokenProcessPool:
                if crashed is None:
                    raise
        for item, _ in under_way:  # one of them did it: each gets a process to itself
            with _pool(1) as alone:
                try:
                    result = alone.submit(_limited, function, item, LIMIT).result()
                except BrokenProcessPool:
                    result = crashed(item)
            yield result


def _limited(function, item, seconds):
    """function(item), in a process that the system ends after so many seconds: a hanging decoder ignores all else.

    (Windows has no such alarm; there it hangs.)
    """
    alarm = getattr(signal, "alarm", lambda seconds: None)
    alarm(seconds)
    try:
        return function(item)
    finally:
        alarm(0)


@contextmanager
def _pool(workers):
    """Worker processes (see workers.py), each of which computes with one thread."""
    pool = ProcessPoolExecutor(workers, worker_context(), _start_worker)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to handle
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
