"""The training set: frames and log-mel patches in HDF5 files, seen as pairs of augmented views."""

from functools import partial
from math import prod

import numpy as np
import torch
from torch.utils.data import Dataset

from dataset.augment.on_cpu import TwoViews
from dataset.augment.parameters import draw_views
from dataset.augment.regions import felzenszwalb_regions, grid_regions
from dataset.storage.cache import read_into_memory
from dataset.storage.hdf5 import HDF5Array
from dataset.storage.layout import FRAME, SPECT, check_rows, find_shards, path_of
from dataset.storage.parallel import map_in_order
from dataset.storage.regions import _regions_of


class TrainSet(Dataset):
    """Frames, spectrograms and region maps of the files h5py_train_*.h5 in one folder.

    folder: Path. size: side of the views in pixels. num_train: use at most the first so many rows (None: all).
    grid: -1 for Felzenszwalb regions (stored ones where the folder has masks, see store_regions), else a grid x grid
    chessboard. photometric: views also get other colours, or none, and blur. on_device: batches hold what BatchViews
    makes views of, instead of views. Each sample's augmentation depends on (seed, epoch, index) alone, not on the
    number of workers or processes.

    Raises FileNotFoundError or ValueError, naming the file, where a shard is missing or shapes or rows disagree.
    """

    def __init__(self, folder, size=224, num_train=None, grid=-1, seed=0, on_device=False, photometric=True):
        shards = find_shards(folder)
        self.frames = HDF5Array([path_of(folder, "frames", shard) for shard in shards], "train_frames", FRAME)
        self.spects = HDF5Array([path_of(folder, "spects", shard) for shard in shards], "train_spects", SPECT)
        check_rows(self.frames, self.spects)
        self.masks = None
        masks = [path_of(folder, "masks", shard) for shard in shards]
        if grid < 0 and all(path.is_file() for path in masks):
            self.masks = HDF5Array(masks, "train_masks", FRAME[:2])
            check_rows(self.frames, self.masks)
        self.length = min(len(self.frames), num_train or len(self.frames))
        self.two_views = TwoViews(size)
        self.size, self.grid, self.seed, self.on_device = size, grid, seed, on_device
        self.photometric = photometric
        self.encoded = False  # True: frames are features of a network, see dataset/features.py
        self.kept = "none"  # where the arrays are, see keep
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # seen by workers that outlive an epoch

    @property
    def bytes(self):
        """What keep would take."""
        frame = prod(self.frames.row_shape) * np.dtype(self.frame_type).itemsize
        return self.length * (frame + 4 * prod(self.spects.row_shape) + (prod(FRAME[:2]) if self.grid < 0 else 0))

    @property
    def frame_type(self):
        return np.float16 if self.encoded else np.uint8

    def keep(self, where, device, workers=0):
        """Reads the arrays into memory once: where is "none", "ram" or "device" (then batches only name their rows).

        workers: processes that compute regions where the folder has none.
        """
        self.kept = where
        if where == "none":
            return
        memory = device if where == "device" else torch.device("cpu")
        if self.grid < 0:
            masks = self.masks or map_in_order(partial(_regions_of, self.frames), range(self.length), workers)
            self.masks = read_into_memory(masks, np.uint8, FRAME[:2], memory, self.length, "regions")
        for name, dtype in (("frames", self.frame_type), ("spects", np.float32)):
            rows = getattr(self, name)
            setattr(self, name, read_into_memory(rows, dtype, rows.row_shape, memory, self.length, name))

    def start(self, epoch):
        """The augmentation that follows is this epoch's."""
        self.epoch.fill_(epoch)

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        """One sample: what __getitems__ gives of it, without the axis of the batch."""
        batch = self.__getitems__([index])
        return {
            key: [part[0] for part in value] if isinstance(value, list) else value[0] for key, value in batch.items()
        }

    def __getitems__(self, indices):
        """A batch, ready-made. index: (B,) int64, its rows. Without on_device, views: two (B, size, size, 3) uint8;
        regions: two (B, 1, size, size) uint8; spect: (B, 3, 1, 96, 64) float32. With it, draws: (B, 2, 10), see View,
        and frames (B, 256, 256, 3) uint8, spect, and regions (B, h, w) uint8, but for those that keep holds on the
        device.
        """
        rngs = [np.random.default_rng((self.seed, int(self.epoch), index)) for index in indices]
        uniform, margin = np.stack([rng.random((2, 12)) for rng in rngs]), self.two_views.large - self.size
        draws = draw_views(uniform, margin, self.photometric)
        batch = {"index": torch.as_tensor(indices), "draws": torch.from_numpy(draws)}
        if self.kept != "device":
            batch["frames"] = torch.from_numpy(self.frames.take(indices, self.frame_type))
            batch["spect"] = torch.from_numpy(self.spects.take(indices, np.float32))[:, :, None]
        if self.kept != "device" or self.grid > 0:
            batch["regions"] = torch.from_numpy(self._regions(indices, batch, rngs))
        return batch if self.on_device or self.encoded else self._with_views(batch)

    def _regions(self, indices, batch, rngs):
        if self.grid > 0:
            return np.stack([grid_regions(self.size, self.grid, rng) for rng in rngs])
        if self.masks is not None:
            return self.masks.take(indices, np.uint8)
        return np.stack([felzenszwalb_regions(frame.numpy()) for frame in batch["frames"]])

    def _with_views(self, batch):
        shape = (2, len(batch["index"]), self.size, self.size)
        views, regions = torch.empty((*shape, 3), dtype=torch.uint8), torch.empty(shape, dtype=torch.uint8)
        samples = zip(batch["frames"].numpy(), batch["regions"].numpy(), batch["draws"].numpy(), strict=True)
        for i, sample in enumerate(samples):
            views[:, i], regions[:, i] = map(torch.from_numpy, self.two_views(*sample))
        parts = {"views": list(views), "regions": list(regions[:, :, None])}
        return parts | {"index": batch["index"], "spect": batch["spect"]}
