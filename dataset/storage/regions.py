"""Region maps: stored beside the frames, since they cost most of a sample's time and never change."""

import os
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dataset.augment.regions import felzenszwalb_regions
from dataset.storage.hdf5 import MASK_STORAGE, HDF5Array, hdf5_writer
from dataset.storage.layout import FRAME, find_shards, path_of
from dataset.storage.parallel import map_in_order


def store_regions(folder: Path, num_train: int | None, workers: int, report=lambda text: None):
    """Writes the Felzenszwalb regions of a folder's frames beside them, where they are missing, under a progress bar.

    An interruption keeps the shards that are finished. Nothing is done where only the first num_train rows are used
    (None: all), and in a folder that cannot be written: there they are computed for every sample. report: called with
    a sentence about the progress.
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
            rows = map_in_order(partial(regions_of, array), range(len(array)), workers)
            for index, labels in enumerate(tqdm(rows, f"regions of {shard}", len(array), unit=" frames")):
                masks[index] = labels
                report(f"storing regions of {shard}: {index + 1} of {len(array)}")


def regions_of(frames, index: int) -> np.ndarray:
    """The Felzenszwalb regions of one row of an array of frames: (256, 256) uint8 labels."""
    return felzenszwalb_regions(np.asarray(frames.take([index], np.uint8)[0]))


class ComputedRegions:
    """Region maps of an array of frames, computed whenever they are read: for folders that hold none."""

    row_shape = FRAME[:2]

    def __init__(self, frames):
        self.frames = frames

    def __len__(self):
        return len(self.frames)

    def take(self, indices, dtype=np.uint8) -> np.ndarray:
        """Rows in the order of `indices`: (n, 256, 256) uint8."""
        return np.stack([regions_of(self.frames, index) for index in indices])

    def each(self, count: int, workers: int) -> Iterator[np.ndarray]:
        """The first rows one after the other, computed by so many processes."""
        return map_in_order(partial(regions_of, self.frames), range(count), workers)
