"""How the timings are taken: one run, one machine, cases side by side."""

import time
from contextlib import contextmanager
from statistics import median

import cv2
import torch

ROUNDS = 5


@contextmanager
def one_thread():
    """torch and OpenCV compute with one thread meanwhile, as they do in a loader's workers."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def alternate(cases, count):
    """Median seconds an item of each case."""
    return {name: median(times) for name, times in rounds_of(cases, count, ROUNDS).items()}


def rounds_of(cases, count, rounds, warm_up=0):
    """Seconds an item of each case, one for each round: every round has all cases, so that the machine's moods hit them
    alike. warm_up: rounds before the first that counts."""
    seconds = {name: [] for name in cases}
    for number in range(warm_up + rounds):
        for name, function in cases.items():
            taken = timed(function, count)
            if number >= warm_up:
                seconds[name].append(taken)
    return seconds


def timed(function, count):
    """Seconds an item of function(0) ... function(count - 1)."""
    started = time.perf_counter()
    for index in range(count):
        function(index)
    return (time.perf_counter() - started) / count
