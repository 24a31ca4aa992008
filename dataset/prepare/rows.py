"""Rows of the HDF5 files: what is stored of one clip, and how."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from dataset.augment.regions import felzenszwalb_regions
from dataset.frontends.log_mel import log_mel_patches, scale
from dataset.media.audio import SAMPLES, SECONDS
from dataset.media.image import resize
from dataset.storage.hdf5 import JPEG, MASK_STORAGE, encode_jpeg, hdf5_writer

SIDE = 256  # pixels, of a stored frame
TRAIN_KINDS = ("frames", "audios", "spects", "masks")
TEST_KINDS = ("frames", "audios", "spects")
FRAME_FORMATS = ("uint8", "jpeg", "float32")
SPECT_FORMATS = ("float32", "float16")


def make_row(frame: np.ndarray, waveform: np.ndarray, with_mask: bool) -> dict[str, np.ndarray]:
    """One clip's row of each file: frame (h, w, 3) uint8 RGB, waveform (48000,) unscaled -> arrays by kind.

    frames (256, 256, 3) uint8; audios (48000,) float32, unscaled; spects (3, 96, 64) float32, of the scaled waveform;
    with_mask: masks (256, 256) uint8. Raises ValueError for a waveform that is not finite.
    """
    frame = resize(frame, SIDE)
    row = {"frames": frame, "audios": waveform, "spects": log_mel_patches(scale(waveform))}
    if not np.isfinite(row["spects"]).all():
        raise ValueError("its sound holds numbers that are not finite")
    return row | {"masks": felzenszwalb_regions(frame)} if with_mask else row


class RowWriter:
    """The HDF5 files of one shard, by kind, to which rows of make_row are added.

    paths: by kind. split: "train" or "test", the first half of the datasets' names. Use it in a `with` statement: the
    files get their names at its end; after an error they remain as *.partial. The waveforms' dataset says that they are
    unscaled, and their length: published files do not, and are scaled (see storage/sounds.py).
    """

    def __init__(self, paths: dict[str, Path], split: str, frame_format: str = "uint8", spect_format: str = "float32"):
        self.rows, self.split = 0, split
        self.frame_format = frame_format
        layouts = {
            "frames": ((), JPEG, {}) if frame_format == "jpeg" else ((SIDE, SIDE, 3), frame_format, {}),
            "audios": ((SAMPLES,), "float32", {}),
            "spects": ((3, 96, 64), spect_format, {}),
            "masks": ((SIDE, SIDE), "uint8", MASK_STORAGE),
        }
        self._files = ExitStack()
        self._arrays = {}
        for kind, path in paths.items():
            shape, dtype, options = layouts[kind]
            writer = hdf5_writer(path, f"{split}_{kind}", shape, dtype, 0, **options)
            self._arrays[kind] = self._files.enter_context(writer)
        if "audios" in self._arrays:
            self._arrays["audios"].attrs.update(scaled=False, seconds=SECONDS)

    def add(self, row: dict[str, np.ndarray]) -> None:
        for kind, array in self._arrays.items():
            value = row[kind]
            array.resize(self.rows + 1, axis=0)
            array[self.rows] = encode_jpeg(value) if kind == "frames" and self.frame_format == "jpeg" else value
        self.rows += 1

    def __enter__(self) -> "RowWriter":
        return self

    def __exit__(self, *error):
        return self._files.__exit__(*error)


def array_paths(folder: str | Path, split: str, kinds: Sequence[str], suffix: str = "") -> dict[str, Path]:
    """The HDF5 file of each kind: folder/h5py_<split>_<kind><suffix>.h5."""
    return {kind: Path(folder) / f"h5py_{split}_{kind}{suffix}.h5" for kind in kinds}
