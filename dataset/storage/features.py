"""Features of frozen networks, computed once and stored beside the training files."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from dataset.media.image import test_image
from dataset.storage.hdf5 import HDF5Array, hdf5_writer
from dataset.storage.workers import worker_options

BATCH = 64
TYPES = {"sounds": np.float32, "frames": np.float16}  # float16: 200 kB a row instead of 400, to within 5e-4 of a value


class Rows(Dataset):
    """The rows of an array as a network takes them in testing: "sounds", or "frames" of `size` pixels, unaugmented."""

    def __init__(self, arrays, name: str, size: int):
        self.name, self.size = name, size
        self.array, self.length = getattr(arrays, name), arrays.length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index >= self.length:
            raise IndexError(index)
        if self.name == "sounds":
            return torch.as_tensor(self.array.take([index], np.float32)[0])
        return test_image(self.array.take([index], np.uint8)[0], self.size)


def features_path(rows: Rows, networks: list) -> Path:
    """The file of these rows' features by these networks, beside the rows: features_<name>_<fingerprint>.h5.

    The fingerprint changes with the weights, the files and their times, the number of rows, and the frames' size.
    """
    digest = hashlib.sha256()
    for network in networks:
        for key, value in network.state_dict().items():
            digest.update(key.encode() + value.cpu().numpy().tobytes())
    files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in rows.array.paths]
    digest.update(repr((files, len(rows), rows.size if rows.name == "frames" else None)).encode())
    return rows.array.paths[0].parent / f"features_{rows.name.rstrip('s')}_{digest.hexdigest()[:16]}.h5"


@torch.no_grad()
def store_features(
    path: Path, rows: Rows, encode: Callable, device: torch.device, workers: int, report=lambda text: None
):
    """Writes what `encode` makes of batches of rows, where the file is not there yet.

    report: called with a sentence about the progress. Raises ValueError where the folder cannot be written.
    """
    if path.is_file():
        return
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"{path.parent} cannot be written: --cache_features stores its features there, leave it out")
    shape = encode(rows[0][None].to(device)).shape[1:]
    bar = tqdm(total=len(rows), desc=f"features: {rows.name}", unit=" rows", unit_scale=True)
    with bar, hdf5_writer(path, "features", shape, TYPES[rows.name], len(rows)) as features:
        for batch in DataLoader(rows, BATCH, **worker_options(workers)):
            features[bar.n : bar.n + len(batch)] = encode(batch.to(device)).float().cpu().numpy()
            bar.update(len(batch))
            report(f"storing features of {rows.name}: {bar.n} of {len(rows)}")


def open_features(path: Path) -> HDF5Array:
    """The array that store_features wrote."""
    return HDF5Array([path], "features")
