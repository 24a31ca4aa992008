"""Sounds in HDF5 files, as a front end reads them."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np

from dataset.frontends import FrontEnd
from dataset.media.audio import RATE, fit_length
from dataset.storage.hdf5 import HDF5Array


class StoredSounds:
    """What a front end makes of the sounds in some HDF5 files: read where the files hold it, else computed.

    front_end: its arrays are read where every file is there, else they are computed from the stored waveforms
    ("audios"). paths_of: kind -> the files of that kind, in order. split: "train" or "test", as in the datasets' names.
    row_shape: of one sound. source: where the numbers come from, for results.json.

    Raises FileNotFoundError or ValueError, naming the file, where neither can be read.
    """

    def __init__(self, front_end: FrontEnd, paths_of: Callable[[str], list[Path]], split: str):
        self.front_end, self.row_shape = front_end, front_end.shape
        paths, waveforms = paths_of(front_end.name), paths_of("audios")
        self.computed = not all(path.is_file() for path in paths) and all(path.is_file() for path in waveforms)
        if self.computed:
            scaled, seconds = _attributes(waveforms[0], f"{split}_audios")
            self.array = HDF5Array(waveforms, f"{split}_audios", (round(seconds * RATE),))
            held = f"{'scaled ' if scaled else ''}waveforms of {seconds:g} s"
            self.source = f"computed from stored {held}"
            if scaled or seconds < front_end.seconds:
                wanted = f"{front_end.seconds:g} s of unscaled sound: this is not the published input"
                warnings.warn(f"{waveforms[0]} holds {held}, the front end reads {wanted}", stacklevel=2)
        else:
            row_shape = tuple(side for side in front_end.shape if side > 1)
            self.array = HDF5Array(paths, f"{split}_{front_end.name}", row_shape)
            self.source = f"stored {front_end.name}"

    def __len__(self) -> int:
        return len(self.array)

    @property
    def paths(self) -> list[Path]:
        return self.array.paths

    @property
    def rows(self) -> list[int]:
        return self.array.rows

    def take(self, indices: Sequence[int], dtype=np.float32) -> np.ndarray:
        """Rows in the order of `indices`: (n, *row_shape) float32."""
        rows = self.array.take(indices, dtype)
        if self.computed:
            rows = np.stack([self.front_end.compute(fit_length(row, self.front_end.seconds)) for row in rows])
        return rows.reshape(len(rows), *self.row_shape)


def _attributes(path, name):
    """Whether a file's waveforms are scaled, and their seconds. Files without the attributes, the published ones, are
    scaled and 3 s long."""
    with h5py.File(path, "r") as file:
        attributes = file[name].attrs if name in file else {}
        return bool(attributes.get("scaled", True)), float(attributes.get("seconds", 3))
