"""Randomness that can be repeated, and the order of the training samples."""

import random
import signal

import numpy as np
import torch
from torch.utils.data import Sampler

from utils import distributed


def seed_everything(seed):
    """Seeds Python, NumPy and torch with seed + rank; loader workers get their own from torch."""
    seed += distributed.rank()
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def start_worker(worker):
    """For DataLoader's worker_init_fn: NumPy and Python seeded from torch's worker seed, deaf to Ctrl-C.

    Ctrl-C is for the main process, which still needs its workers to finish the step.
    """
    seed = torch.initial_seed() % 2**32
    random.seed(seed)
    np.random.seed(seed)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class EpochSampler(Sampler):
    """Whole batches of a shuffled epoch, this process's share of each; the last incomplete batch is dropped.

    The order depends on (seed, epoch) only, so that a run goes on in the middle of an epoch with the batches it would
    have seen. Raises ValueError where the samples do not fill one batch.
    """

    def __init__(self, length, batch_size, seed):
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self.epoch = self.step = 0
        if self.steps == 0:
            raise ValueError(
                f"{length} training samples do not fill one batch of {batch_size} on each of "
                f"{distributed.world_size()} processes: lower --batch_size_per_gpu"
            )

    def start(self, epoch, step=0):
        """What the next iteration delivers: batches `step`, step + 1, ... of this epoch."""
        self.epoch, self.step = epoch, step

    @property
    def steps(self):
        """Batches an epoch."""
        return self.length // (self.batch_size * distributed.world_size())

    def __len__(self):
        return self.steps - self.step

    def __iter__(self):
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        for step in range(self.step, self.steps):
            first = (step * distributed.world_size() + distributed.rank()) * self.batch_size
            yield order[first : first + self.batch_size].tolist()
