"""Epoch and step counters, progress bar, timings."""

import time

import torch
from tqdm import tqdm

from utils import distributed
from utils.training.epoch_stats import EpochStats


class Progress:
    """Epochs done, steps done of the next one, that epoch's statistics so far, and the bar that shows them.

    steps: an epoch's, each of `samples` samples over all processes; epochs: the run's.
    """

    def __init__(self, steps, samples, epochs, device):
        self.steps, self.samples, self.epochs, self.device = steps, samples, epochs, device
        self.epoch = self.step = 0
        self.stats = EpochStats(device)
        self.bar = None

    @property
    def share(self):
        """The part of the whole run that is done, 0 ... 1."""
        return (self.epoch + self.step / self.steps) / self.epochs

    def begin_epoch(self):
        """Starts the clock, and in the first epoch the bar."""
        if self.bar is None:
            done, hidden = self.epoch * self.steps + self.step, not distributed.is_main()
            total, done = self.epochs * self.steps * self.samples, done * self.samples
            self.bar = tqdm(total=total, initial=done, unit=" samples", unit_scale=True, disable=hidden)
        self.began = time.monotonic()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def advance(self, loss, diagnostics, skipped):
        """A step is done: its loss, its diagnostics, and whether it was left out. Does not wait for the device."""
        self.step += 1
        self.stats.add(self.step, loss, diagnostics, skipped)
        self.bar.update(self.samples)

    def read(self) -> list[int]:
        """Shows the loss, and returns the numbers of the steps left out since the last call. Waits for the device."""
        skipped = self.stats.non_finite_steps()
        self.bar.set_postfix(epoch=self.epoch + 1, loss=f"{self.stats.loss:.3f}", refresh=False)
        return skipped

    def measured(self, waited):
        """What an epoch's training took: seconds, those waited for data, and on CUDA gigabytes.

        resident: weights, gradients and averages, which are there between steps; activations: what a step adds.
        """
        measured = {"training_seconds": round(time.monotonic() - self.began, 2), "waited_for_data": round(waited, 2)}
        if self.device.type == "cuda":
            peak, resident = torch.cuda.max_memory_allocated() / 1e9, torch.cuda.memory_allocated() / 1e9
            measured |= {"resident_gb": round(resident, 2), "activations_gb": round(peak - resident, 2)}
        return measured

    def close(self):
        """Ends the bar, so that what is said next has a line to itself."""
        if self.bar is not None:
            self.bar.close()

    def next_epoch(self):
        self.stats.start()
        self.epoch, self.step = self.epoch + 1, 0
