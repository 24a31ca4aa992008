"""Region maps stored beside the frames."""

import os
import warnings
from functools import partial

import numpy as np
from tqdm import tqdm

from dataset.augment.regions import felzenszwalb_regions
from dataset.storage.hdf5 import MASK_STORAGE, HDF5Array, hdf5_writer
from dataset.storage.layout import FRAME, find_shards, path_of
from dataset.storage.parallel import map_in_order


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
