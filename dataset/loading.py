"""From a training set to batches on the device."""

import time

import torch
from torch.utils.data import DataLoader

from utils.seed import EpochSampler, start_worker


class TrainLoader:
    """Whole batches of a TrainSet, in an order and with views that depend on the seed and the epoch alone.

    Iterating yields dicts: views, two (B, 3, size, size) float32; regions, two (B, 1, size, size) uint8; spect,
    (B, 3, 1, 96, 64) float32; all on `device`. waited: seconds that the current epoch's steps have waited for data.
    """

    def __init__(self, train_set, batch_size, seed, workers, device):
        self.train_set, self.device = train_set, device
        self.sampler = EpochSampler(len(train_set), batch_size, seed)
        self.steps = self.sampler.steps
        self.waited = 0.0
        self.loader = DataLoader(
            train_set,
            batch_sampler=self.sampler,
            num_workers=workers,
            worker_init_fn=start_worker,
            pin_memory=device.type == "cuda",
            persistent_workers=workers > 0,
            generator=torch.Generator(),  # its own: a resumed epoch asks it once more than one that was not disturbed
        )

    def start(self, epoch, step=0):
        """What the next iteration delivers: the batches of this epoch, from `step` on."""
        self.sampler.start(epoch, step)
        self.train_set.start(epoch)

    def __iter__(self):
        self.waited = 0.0
        batches = iter(self.loader)
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - asked
            if batch is None:
                return
            yield self._on_device(batch)

    def _on_device(self, batch):
        def move(tensor, memory_format=torch.preserve_format):
            return tensor.to(self.device, memory_format=memory_format, non_blocking=True)

        return {
            "views": [move(view, torch.channels_last) for view in batch["views"]],
            "regions": [move(labels) for labels in batch["regions"]],
            "spect": move(batch["spect"]),
        }
