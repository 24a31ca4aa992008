"""The training set: rows of HDF5 files as samples, augmented."""

from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from dataset.augment.on_cpu import ViewsOnCPU
from dataset.augment.parameters import AUGMENTATIONS, Augmentation, Draws, draw_views
from dataset.augment.regions import grid_regions
from dataset.frontends import FRONT_ENDS, FrontEnd
from dataset.storage.cache import MemoryArray, read_into_memory
from dataset.storage.hdf5 import HDF5Array
from dataset.storage.layout import FRAME, check_rows, find_shards, path_of
from dataset.storage.regions import ComputedRegions
from dataset.storage.sounds import StoredSounds

FELZENSZWALB = -1  # in the place of a grid's side


class Arrays(NamedTuple):
    """The rows of a training set. Each array has take(indices, dtype), row_shape and len().

    frames: (256, 256, 3) uint8 a row, or what a network makes of it. sounds: what the front end, or a network, makes of
    a sound. regions: (256, 256) uint8 labels a row; an int, the side of a random grid; None where the method reads
    none. length: rows in use.
    """

    frames: Any
    sounds: Any
    regions: Any
    length: int

    def stored(self) -> dict[str, tuple[Any, type]]:
        """The arrays that can be kept in memory, each with the type of its numbers."""
        pixels = np.uint8 if tuple(self.frames.row_shape) == FRAME else np.float16
        arrays = {"frames": (self.frames, pixels), "sounds": (self.sounds, np.float32)}
        return arrays if isinstance(self.regions, int | None) else {**arrays, "regions": (self.regions, np.uint8)}

    @property
    def bytes(self) -> int:
        """What keep takes."""
        return self.length * sum(
            prod(rows.row_shape) * np.dtype(dtype).itemsize for rows, dtype in self.stored().values()
        )

    def keep(self, device: torch.device, workers: int = 0) -> "Arrays":
        """The same rows, read once into the memory of a device; workers: processes that compute missing regions."""
        kept = {}
        for name, (rows, dtype) in self.stored().items():
            source = rows.each(self.length, workers) if isinstance(rows, ComputedRegions) else rows
            kept[name] = read_into_memory(source, dtype, rows.row_shape, device, self.length, name)
        return self._replace(**kept)


def open_arrays(
    folder: Path,
    front_end: FrontEnd = FRONT_ENDS["log_mel"],
    regions: int | None = FELZENSZWALB,
    num_train: int | None = None,
) -> Arrays:
    """The rows of the files h5py_train_*.h5 in a folder.

    regions: FELZENSZWALB (stored ones where the folder has them, see store_regions), the side of a random grid, or None
    for no region maps. num_train: use at most the first so many rows (None: all). Raises FileNotFoundError or
    ValueError, naming the file, where a shard is missing or shapes or rows disagree.
    """
    shards = find_shards(folder)

    def paths_of(kind):
        return [path_of(folder, kind, shard) for shard in shards]

    frames = HDF5Array(paths_of("frames"), "train_frames", FRAME)
    sounds = StoredSounds(front_end, paths_of, "train")
    check_rows(frames, sounds)
    if regions == FELZENSZWALB:
        regions = ComputedRegions(frames)
        if all(path.is_file() for path in paths_of("masks")):
            regions = HDF5Array(paths_of("masks"), "train_masks", FRAME[:2])
            check_rows(frames, regions)
    return Arrays(frames, sounds, regions, min(len(frames), num_train or len(frames)))


class TrainSet(Dataset):
    """Samples of some Arrays: augmented views of each frame, its sound and, where there are any, its region maps.

    augmentation: None gives the frames as they are stored, each as all of its views: for frames that a network has
    encoded. views: of a frame. size: their side in pixels. on_device: batches hold what ViewsOnDevice makes views of,
    instead of views. augment_audio: (B, ...) and (B, 4) uniform in [0, 1) -> (B, ...), or None. A sample's augmentation
    depends on (seed, epoch, index) alone, not on the number of workers or processes.
    """

    def __init__(
        self,
        arrays: Arrays,
        augmentation: Augmentation | None = AUGMENTATIONS["simsiam"],
        views: int = 2,
        size: int = 224,
        seed: int = 0,
        on_device: bool = False,
        augment_audio: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
    ):
        self.augment_audio = augment_audio
        self.arrays, self.augmentation, self.views, self.size = arrays, augmentation, views, size
        self.seed, self.on_device = seed, on_device
        self.make_views = augmentation and ViewsOnCPU(size, augmentation.crop)
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # read by workers that outlive an epoch

    def start(self, epoch: int):
        """Augments as in this epoch from now on."""
        self.epoch.fill_(epoch)

    @property
    def resident(self) -> bool:
        """Whether the rows lie in a device's memory, where loader workers must not read them."""
        frames = self.arrays.frames
        return isinstance(frames, MemoryArray) and frames.tensor.device.type != "cpu"

    def __len__(self) -> int:
        return self.arrays.length

    def __getitem__(self, index: int) -> dict:
        """One sample: what __getitems__ gives of it, without the axis of the batch."""
        batch = self.__getitems__([index])
        return {
            key: [part[0] for part in value] if isinstance(value, list) else value[0] for key, value in batch.items()
        }

    def __getitems__(self, indices: Sequence[int]) -> dict:
        """A whole batch: index (B,) int64, the rows; audio (B, ...) float32; and

        - views, a list of (B, size, size, 3) uint8, and regions, a list of (B, 1, size, size) uint8; or
        - on_device: frames (B, 256, 256, 3) uint8, draws (B, views, 10), see View, and regions (B, h, w) uint8; or
        - without augmentation: views, a list of the stored frames.
        """
        frames, sounds, regions, _ = self.arrays
        rngs = [np.random.default_rng((self.seed, int(self.epoch), index)) for index in indices]
        uniform = np.stack([rng.random((self.views, len(Draws._fields))) for rng in rngs])
        audio = torch.as_tensor(sounds.take(indices, np.float32))
        if self.augment_audio:
            drawn = torch.from_numpy(np.stack([rng.random(4) for rng in rngs]))
            audio = self.augment_audio(audio, drawn.to(audio.device))
        batch = {"index": torch.as_tensor(indices), "audio": audio}
        if self.augmentation is None:
            return batch | {"views": [torch.as_tensor(frames.take(indices, np.float16))] * self.views}
        frames = torch.as_tensor(frames.take(indices, np.uint8))
        if isinstance(regions, int):
            regions = torch.from_numpy(np.stack([grid_regions(self.size, regions, rng) for rng in rngs]))
        elif regions is not None:
            regions = torch.as_tensor(regions.take(indices, np.uint8))
        draws = draw_views(uniform, self.make_views.large - self.size, self.augmentation)
        if self.on_device:
            batch |= {"frames": frames, "draws": torch.from_numpy(draws)}
            return batch if regions is None else batch | {"regions": regions}
        return batch | self._views(frames, draws, regions)

    def _views(self, frames, draws, regions):
        shape = (self.views, len(frames), self.size, self.size)
        views = torch.empty((*shape, 3), dtype=torch.uint8)
        labels = None if regions is None else torch.empty(shape, dtype=torch.uint8)
        for i, frame in enumerate(frames.numpy()):
            pictures, maps = self.make_views(frame, draws[i], None if regions is None else regions[i].numpy())
            views[:, i] = torch.from_numpy(pictures)
            if labels is not None:
                labels[:, i] = torch.from_numpy(maps)
        parts = {"views": list(views)}
        return parts if labels is None else parts | {"regions": list(labels[:, :, None])}
