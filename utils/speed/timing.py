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
    rounds = take_rounds({name: (function, count) for name, function in cases.items()})
    return {name: median(seconds) for name, seconds in rounds.items()}


def take_rounds(cases, rounds=None, warm_up=0):
    """Seconds an item of each case in each round: {name: (function, count)} -> {name: [seconds, ...]}.

    Every round has all cases, so that the machine's moods hit them alike. rounds: None for ROUNDS; warm_up: rounds
    before them that do not count.
    """
    taken = [{name: timed(*case) for name, case in cases.items()} for _ in range(warm_up + (rounds or ROUNDS))]
    return {name: [one[name] for one in taken[warm_up:]] for name in cases}


def timed(function, count):
    """Seconds an item of function(0) ... function(count - 1)."""
    started = time.perf_counter()
    for index in range(count):
        function(index)
    return (time.perf_counter() - started) / count
