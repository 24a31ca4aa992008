"""The training set: frames and log-mel patches in HDF5 files, seen as pairs of augmented views."""

import os
import re
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from dataset.hdf5 import MASK_STORAGE, HDF5Array, hdf5_writer
from dataset.parallel import map_in_order
from dataset.regions import felzenszwalb_regions, grid_regions
from dataset.transforms import TwoViews

FRAME = (256, 256, 3)
SPECT = (3, 96, 64)


class TrainSet(Dataset):
    """Frames, spectrograms and region maps of the files h5py_train_*.h5 in one folder.

    folder: Path. size: side of the views in pixels. num_train: use at most the first so many rows (None: all).
    grid: -1 for Felzenszwalb regions (stored ones where the folder has masks, see store_regions), else a grid x grid
    chessboard. Each
    sample's augmentation depends on (seed, epoch, index) alone, not on the number of workers or processes.

    Raises FileNotFoundError or ValueError, naming the file, where a shard is missing or shapes or rows disagree.
    """

    def __init__(self, folder, size=224, num_train=None, grid=-1, seed=0):
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
        self.transform = TwoViews(size)
        self.size, self.grid, self.seed = size, grid, seed
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # seen by workers that outlive an epoch

    def start(self, epoch):
        """The augmentation that follows is this epoch's."""
        self.epoch.fill_(epoch)

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        """views: two (3, size, size) float32; regions: two (1, size, size) uint8; spect: (3, 1, 96, 64) float32."""
        rng = np.random.default_rng((self.seed, int(self.epoch), index))
        frame = self.frames[index].astype(np.uint8)  # the published files hold 0 ... 255 as float32
        views, regions = self.transform(frame, self._regions(frame, index, rng), rng)
        spect = torch.from_numpy(self.spects[index].astype(np.float32))[:, None]
        return {"views": views, "regions": regions, "spect": spect}

    def _regions(self, frame, index, rng):
        if self.grid > 0:
            return grid_regions(self.size, self.grid, rng)
        return felzenszwalb_regions(frame) if self.masks is None else self.masks[index]


def store_regions(folder, num_train, workers):
    """Writes the Felzenszwalb regions of a folder's frames beside them, where they are missing, under a progress bar.

    They cost most of a sample's time, and never change. An interruption keeps the shards that are finished. Nothing is
    done where only the first num_train rows are used (None: all), and in a folder that cannot be written: there they
    are computed for every sample.
    """
    shards = find_shards(folder)
    frames = [HDF5Array([path_of(folder, "frames", shard)], "train_frames", FRAME) for shard in shards]
    if num_train is not None and num_train < sum(map(len, frames)):
        return
    for shard, array in zip(shards, frames, strict=True):
        path = path_of(folder, "masks", shard)
        if path.exists():
            continue
        if not os.access(folder, os.W_OK):
            warnings.warn(f"{folder} cannot be written: regions cost about 50 ms for every sample", stacklevel=2)
            return
        with hdf5_writer(path, "train_masks", FRAME[:2], np.uint8, len(array), **MASK_STORAGE) as masks:
            rows = map_in_order(partial(_regions_of, array), range(len(array)), workers)
            for index, labels in enumerate(tqdm(rows, f"regions of {shard}", len(array), unit=" frames")):
                masks[index] = labels


def _regions_of(frames, index):
    return felzenszwalb_regions(frames[index].astype(np.uint8))


def find_shards(folder):
    """Names of the shards in a folder, in numerical order: "10k", or "144k_1", "144k_2", ... "144k_10".

    Any shard of frames or of spects counts: where the other is missing, reading says so. Raises FileNotFoundError where
    the folder is missing or empty, or where a number of the series is.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is missing: put the training files there, or give another --data_path or --trainset"
        )
    files = [*folder.glob("h5py_train_frames_*.h5"), *folder.glob("h5py_train_spects_*.h5")]
    names = {re.sub("^h5py_train_(frames|spects)_", "", path.stem) for path in files}
    if not names:
        raise FileNotFoundError(f"{folder} has no h5py_train_frames_*.h5: put the training files there")
    numbered = {int(match[1]): name for name in names if (match := re.search(r"_(\d+)$", name))}
    for number in range(1, max(numbered, default=0)):
        if number not in numbered:
            stem = next(iter(numbered.values())).rpartition("_")[0]
            raise FileNotFoundError(f"{path_of(folder, 'frames', f'{stem}_{number}')} is missing: complete the shards")
    return sorted(names, key=lambda name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)])


def path_of(folder, kind, shard):
    """The file of a shard: kind is frames, audios, spects or masks."""
    return Path(folder) / f"h5py_train_{kind}_{shard}.h5"


def check_rows(first, second):
    """Raises ValueError where two arrays' files differ in their number of rows."""
    for path, rows, other_path, other_rows in zip(first.paths, first.rows, second.paths, second.rows, strict=True):
        if rows != other_rows:
            raise ValueError(f"{path} has {rows} rows but {other_path.name} has {other_rows}: prepare both together")
