"""From a training set to batches on the device."""

import time
from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader

from dataset.augment.on_device import ViewsOnDevice
from dataset.media.image import normalise
from dataset.sampler import EpochSampler
from dataset.storage.workers import worker_options
from dataset.train_set import TrainSet


class TrainLoader:
    """Whole batches of a TrainSet, in an order and with views that depend on the seed and the epoch alone.

    Iterating yields dicts: views, a list of (B, 3, size, size) float32, channels last, or of stored features; audio,
    (B, ...) float32; regions, a list of (B, 1, size, size) uint8, where the set has any; all on `device`; index, (B,)
    int64, the set's rows, on the CPU; epoch, how many epochs were finished before. The views are made by the workers,
    as uint8, and normalised here; or on the device where the set is made for that. rank, world_size: of the process,
    which gets its share of each batch.
    waited: seconds that the current epoch's steps have waited for data.
    """

    def __init__(
        self,
        train_set: TrainSet,
        batch_size: int,
        seed: int,
        workers: int,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
    ):
        self.train_set, self.device = train_set, device
        self.sampler = EpochSampler(len(train_set), batch_size, seed, rank, world_size)
        self.steps = self.sampler.steps
        self.waited = 0.0
        self.views_on_device = (
            ViewsOnDevice(train_set.size, train_set.augmentation.crop) if train_set.on_device else None
        )
        workers = 0 if train_set.resident else workers  # nothing is left to read, and workers must not use the device
        self.loader = DataLoader(
            train_set,
            batch_sampler=self.sampler,
            collate_fn=_whole,
            pin_memory=device.type == "cuda" and not train_set.resident,
            persistent_workers=workers > 0,
            generator=torch.Generator(),  # its own: a resumed epoch asks it once more than one that was not disturbed
            **worker_options(workers),
        )

    def start(self, epoch: int, step: int = 0):
        """What the next iteration delivers: the batches of this epoch, from `step` on."""
        self.sampler.start(epoch, step)
        self.train_set.start(epoch)

    def __iter__(self) -> Iterator[dict]:
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
        ready = {"index": batch["index"], "epoch": self.sampler.epoch, "audio": self._move(batch["audio"])}
        if self.views_on_device:
            regions = self._move(batch["regions"]) if "regions" in batch else None
            views, regions = self.views_on_device(self._move(batch["frames"]), batch["draws"], regions)
            return ready | {"views": views} | ({} if regions is None else {"regions": regions})
        views = [self._move(view) for view in batch["views"]]
        views = [normalise(view) if view.dtype == torch.uint8 else view.float() for view in views]
        regions = {"regions": [self._move(labels) for labels in batch["regions"]]} if "regions" in batch else {}
        return ready | {"views": views} | regions

    def _move(self, tensor):
        return tensor.to(self.device, non_blocking=True)


def _whole(batch):
    """Collates nothing: the set makes whole batches. (A lambda could not be sent to a worker.)"""
    return batch
