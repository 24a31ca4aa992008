"""HDF5 arrays: read as one array over one or many shard files, written atomically."""

import os
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import h5py
import numpy as np

JPEG = h5py.vlen_dtype(np.uint8)  # a frame stored as the bytes of a JPEG file
JPEG_QUALITY = 95
MASK_STORAGE = {"compression": "gzip", "compression_opts": 1}  # a region map of 65 kB becomes one of about 1


class HDF5Array:
    """The dataset `name` of several HDF5 files, in the order given, as one read-only array.

    Files are opened once per process and on first use, so that an instance can be handed to loader workers. Rows
    that are stored as JPEG files come back as pictures.

    Raises FileNotFoundError for a missing file, ValueError (with the file's name) for one that is not HDF5,
    lacks the dataset, or whose rows are not of the shape `row_shape` (None: of any, the first file's).
    """

    def __init__(self, paths: Sequence[Path], name: str, row_shape: tuple[int, ...] | None = None):
        self.paths = [Path(path) for path in paths]
        if row_shape is None:
            with h5py.File(self.paths[0]) as file:
                row_shape = file[name].shape[1:]
        self.name, self.row_shape = name, tuple(row_shape)
        self.rows = [_check(path, name, self.row_shape) for path in self.paths]
        self.starts = np.cumsum([0, *self.rows])
        self._open = {}

    def __len__(self):
        return int(self.starts[-1])

    def __getitem__(self, index):
        """Row `index` (0 <= index < len), as stored; a JPEG file as (h, w, 3) uint8 RGB."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.paths[0].parent}: row {index} of {self.name}, which has {len(self)} rows")
        shard = int(np.searchsorted(self.starts, index, side="right")) - 1
        dataset = self._dataset(shard)
        row = dataset[index - self.starts[shard]]
        if dataset.ndim > 1:
            return row
        return decode_jpeg(row, f"{self.paths[shard]}, row {index - self.starts[shard]}")

    def take(self, indices, dtype):
        """Several rows in the order of `indices`, (n, *row), as numbers of a dtype (JPEG files: uint8, always).

        Those that are neighbours in a file are read in one go.
        """
        indices = np.asarray(indices)
        if not ((indices >= 0) & (indices < len(self))).all():
            raise IndexError(f"{self.paths[0].parent}: rows {indices} of {self.name}, which has {len(self)} rows")
        order = np.argsort(indices, kind="stable")
        wanted, shards = indices[order], np.searchsorted(self.starts, indices[order], side="right") - 1
        broken = (np.diff(wanted) != 1) | (np.diff(order) != 1) | (np.diff(shards) != 0)
        out = np.empty((len(indices), *self.row_shape), dtype)
        for run in np.split(np.arange(len(order)), np.flatnonzero(broken) + 1):
            shard, place = shards[run[0]], order[run[0]]
            row, dataset = int(wanted[run[0]] - self.starts[shard]), self._dataset(shard)
            source, target = np.s_[row : row + len(run)], np.s_[place : place + len(run)]
            if dataset.ndim == 1:
                for i, content in enumerate(dataset[source]):
                    out[place + i] = decode_jpeg(content, f"{self.paths[shard]}, row {row + i}")
            elif dataset.dtype == out.dtype:
                dataset.read_direct(out, source, target)  # without a copy on the way
            else:
                out[target] = dataset[source]  # NumPy converts faster than HDF5
        return out

    def _dataset(self, shard):
        # HDF5 handles do not survive a fork: each process keeps its own.
        key = (os.getpid(), shard)
        if key not in self._open:
            self._open[key] = h5py.File(self.paths[shard], "r")[self.name]
        return self._open[key]

    def __getstate__(self):
        return {**self.__dict__, "_open": {}}


def _check(path, name, row_shape):
    """Number of rows of dataset `name` in `path`, after the checks named in HDF5Array."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: put the file there, or prepare it with python -m dataset.prepare")
    try:
        with h5py.File(path, "r") as file:
            if name not in file:
                raise ValueError(
                    f"{path} has no dataset '{name}' (it has {sorted(file)}): rename it, or prepare the file anew"
                )
            shape, dtype = file[name].shape, file[name].dtype
    except OSError as error:
        raise ValueError(f"{path} cannot be read as HDF5 ({error}): download or prepare it again") from None
    is_jpeg = len(row_shape) == 3 and h5py.check_vlen_dtype(dtype) == np.uint8
    if shape[1:] != (() if is_jpeg else row_shape):
        raise ValueError(f"{path}: '{name}' has rows of shape {shape[1:]}, expected {row_shape}: prepare the file anew")
    return shape[0]


def encode_jpeg(frame):
    """(h, w, 3) uint8 RGB -> (n,) uint8, the bytes of a JPEG file."""
    picture = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]


def decode_jpeg(content, where):
    """The inverse of encode_jpeg, but for JPEG's losses; raises ValueError beginning with `where`."""
    picture = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
    if picture is None:
        raise ValueError(f"{where} is no JPEG picture: prepare the file anew")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


@contextmanager
def hdf5_writer(path, name, row_shape, dtype, rows, **options):
    """Yields an empty dataset (rows, *row_shape) to fill, which may be resized; the file gets its name only when it is
    complete and on the disk.

    Chunks hold one row, so that reading a sample reads nothing else; of rows of varying length, 256.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with h5py.File(partial, "w") as file:
        limits, chunk = (None, *row_shape), (1, *row_shape) if row_shape else (256,)
        yield file.create_dataset(name, (rows, *row_shape), dtype, maxshape=limits, chunks=chunk, **options)
    with partial.open("rb+") as written:
        os.fsync(written.fileno())
    os.replace(partial, path)
