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


def random_state():
    """Where Python's, NumPy's and torch's random numbers of this process stand, in plain values and tensors."""
    name, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": [name, keys.tolist(), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
    }


def restore_random_state(state):
    """Random numbers go on from a random_state()."""
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(state["cuda"])


def start_worker(worker):
    """For DataLoader's worker_init_fn: NumPy and Python seeded from torch's worker seed, deaf to Ctrl-C.

    Signals are for the main process, which still needs its workers to finish the step: after a SIGTERM, which clusters
    send to every process, they go on for LAST_SECONDS.
    """
    seed = torch.initial_seed() % 2**32
    random.seed(seed)
    np.random.seed(seed)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(LAST_SECONDS))


LAST_SECONDS = 20


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
        order = self._order(self.epoch)
        for step in range(self.step, self.steps):
            first = (step * distributed.world_size() + distributed.rank()) * self.batch_size
            yield order[first : first + self.batch_size].tolist()

    def rows(self, epoch, step):
        """Indices of the samples of one batch of all processes."""
        everyone = self.batch_size * distributed.world_size()
        return self._order(epoch)[step * everyone : (step + 1) * everyone].tolist()

    def _order(self, epoch):
        return np.random.default_rng((self.seed, epoch)).permutation(self.length)
