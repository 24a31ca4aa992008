"""From a training set to batches on the device."""

import time

import torch
from torch.utils.data import DataLoader

from dataset.augment.on_device import BatchViews
from dataset.media.image import normalise
from dataset.sampler import EpochSampler
from dataset.storage.workers import start_worker


class TrainLoader:
    """Whole batches of a TrainSet, in an order and with views that depend on the seed and the epoch alone.

    Iterating yields dicts: views, two (B, 3, size, size) float32, channels last; regions, two (B, 1, size, size) uint8;
    spect, (B, 3, 1, 96, 64) float32; all on `device`; index, (B,) int64, the set's rows, on the CPU. The views are made
    by the workers, as uint8, and normalised here; or on the device where the set is made for that. Where the set holds
    stored features (dataset/features.py), these stand in the place of views and spect.
    waited: seconds that the current epoch's steps have waited for data.
    """

    def __init__(self, train_set, batch_size, seed, workers, device):
        self.train_set, self.device = train_set, device
        self.sampler = EpochSampler(len(train_set), batch_size, seed)
        self.steps = self.sampler.steps
        self.waited = 0.0
        self.batch_views = BatchViews(train_set.size)
        if train_set.kept == "device":
            workers = 0  # nothing is left to read, and a process forked from one that uses CUDA must not touch it
        self.loader = DataLoader(
            train_set,
            batch_sampler=self.sampler,
            collate_fn=_whole,
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
        data, index = self.train_set, batch["index"]
        if data.kept == "device":
            rows = self._move(index)
            batch |= {"frames": data.frames.tensor[rows], "spect": data.spects.tensor[rows][:, :, None]}
            if data.masks is not None:
                batch["regions"] = data.masks.tensor[rows]
        if data.encoded:
            views, regions = [self._move(batch["frames"]).float()] * 2, [self._move(batch["regions"])[:, None]] * 2
        elif data.on_device:
            frames, regions = self._move(batch["frames"]), self._move(batch["regions"])
            views, regions = self.batch_views(frames, regions, batch["draws"])
        else:
            views = [normalise(self._move(view)) for view in batch["views"]]
            regions = [self._move(labels) for labels in batch["regions"]]
        return {"index": index, "views": views, "regions": regions, "spect": self._move(batch["spect"])}

    def _move(self, tensor):
        return tensor.to(self.device, non_blocking=True)


def _whole(batch):
    """Collates nothing: the set makes whole batches. (A lambda could not be sent to a worker.)"""
    return batch
