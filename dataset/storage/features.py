"""What frozen networks make of a training set, computed once and stored beside it."""

import hashlib
import os

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from dataset.media.image import test_image
from dataset.storage.hdf5 import HDF5Array, hdf5_writer
from dataset.storage.workers import start_worker
from utils import distributed

BATCH = 64


def use_stored_features(train_set, folder, encoders, frames, device, workers):
    """Lets a TrainSet give what frozen networks make of its rows, instead of the rows.

    encoders: as SSPL.encoders gives them. frames: also the frame network's features, of the frame as in testing,
    unaugmented, so that both views of a row are the same.
    """
    train_set.spects = stored_features(train_set, folder, "sound", encoders["sound"], device, workers)
    if frames:
        train_set.frames = stored_features(train_set, folder, "frame", encoders["frame"], device, workers)
        train_set.encoded = True


def stored_features(train_set, folder, name, encoder, device, workers):
    """An HDF5Array of what an encoder makes of each row of the set, from features_<name>_<fingerprint>.h5 in `folder`,
    which is written first where it is not there yet. The fingerprint is that of the weights, the rows and their size.

    encoder: a function of a batch, and the networks that it runs. Sounds are stored as float32, frames as float16 (200
    kB a row at 224 pixels instead of 400; to within 5e-4 of a value). Raises ValueError where `folder` is read-only.
    """
    encode, networks = encoder
    rows = Rows(train_set, name)
    path = folder / f"features_{name}_{fingerprint(networks, rows)}.h5"
    with torch.no_grad():
        shape = encode(rows[0][None].to(device)).shape[1:]
    if distributed.is_main() and not path.is_file():
        if not os.access(folder, os.W_OK):
            raise ValueError(f"{folder} cannot be written: --cache_features stores its features there, leave it out")
        dtype = {"sound": np.float32, "frame": np.float16}[name]
        loader = DataLoader(rows, BATCH, num_workers=workers, worker_init_fn=start_worker)
        bar = tqdm(total=len(rows), desc=f"features: {name}", unit=" rows", unit_scale=True)
        with torch.no_grad(), bar, hdf5_writer(path, "features", shape, dtype, len(rows)) as features:
            for batch in loader:
                features[bar.n : bar.n + len(batch)] = encode(batch.to(device)).float().cpu().numpy()
                bar.update(len(batch))
    distributed.barrier()
    return HDF5Array([path], "features", shape)


class Rows:
    """The rows of a TrainSet as its networks take them in testing: name is "sound" or "frame"."""

    def __init__(self, train_set, name):
        self.name, self.size, self.length = name, train_set.size, len(train_set)
        self.array = train_set.spects if name == "sound" else train_set.frames

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index >= self.length:
            raise IndexError(index)
        row = self.array.take([index], np.float32 if self.name == "sound" else np.uint8)[0]
        return torch.from_numpy(row)[:, None] if self.name == "sound" else test_image(row, self.size)


def fingerprint(networks, rows):
    """Sixteen hex digits that change with the weights, the files and their times, the number of rows, or their size."""
    digest = hashlib.sha256()
    for network in networks:
        for key, value in network.state_dict().items():
            digest.update(key.encode() + value.cpu().numpy().tobytes())
    files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in rows.array.paths]
    digest.update(repr((files, len(rows), rows.size if rows.name == "frame" else None)).encode())
    return digest.hexdigest()[:16]
