"""The order of the training samples."""

import numpy as np
from torch.utils.data import Sampler


class EpochSampler(Sampler):
    """Whole batches of a shuffled epoch, this process's share of each; the last incomplete batch is dropped.

    The order depends on (seed, epoch) only, so that a run goes on in the middle of an epoch with the batches it would
    have seen. Raises ValueError where the samples do not fill one batch.
    """

    def __init__(self, length: int, batch_size: int, seed: int, rank: int = 0, world_size: int = 1):
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.epoch = self.step = 0
        if self.steps == 0:
            raise ValueError(
                f"{length} training samples do not fill one batch of {batch_size} on each of "
                f"{self.world_size} processes: lower --batch_size_per_gpu"
            )

    def start(self, epoch, step=0):
        """What the next iteration delivers: batches `step`, step + 1, ... of this epoch."""
        self.epoch, self.step = epoch, step

    @property
    def steps(self):
        """Batches an epoch."""
        return self.length // (self.batch_size * self.world_size)

    def __len__(self):
        return self.steps - self.step

    def __iter__(self):
        order = self._order(self.epoch)
        for step in range(self.step, self.steps):
            first = (step * self.world_size + self.rank) * self.batch_size
            yield order[first : first + self.batch_size].tolist()

    def rows(self, epoch, step):
        """Indices of the samples of one batch of all processes."""
        everyone = self.batch_size * self.world_size
        return self._order(epoch)[step * everyone : (step + 1) * everyone].tolist()

    def _order(self, epoch):
        return np.random.default_rng((self.seed, epoch)).permutation(self.length)
