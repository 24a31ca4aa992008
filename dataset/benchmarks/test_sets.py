"""The test sets: the items of a BenchmarkIndex with their frames and sounds, the same keys from each."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset, default_collate

from dataset.benchmarks.annotations import read_ids
from dataset.benchmarks.ids import clip_name
from dataset.benchmarks.index import BenchmarkIndex
from dataset.frontends import FRONT_ENDS, FrontEnd
from dataset.media.audio import fit_length, load_clip
from dataset.media.files import files_by_stem, the_file
from dataset.media.image import read_image, test_image
from dataset.storage.hdf5 import HDF5Array
from dataset.storage.layout import FRAME, check_rows
from dataset.storage.sounds import StoredSounds


class TestSet(Dataset):
    """What the test sets share. A subclass reads one item's frame, waveform and audio, and finds missing ones.

    benchmark: the items. front_end: how the audio network reads a sound. audio_source: where its input comes from, for
    results.json. An item is a dict: id (str), index (its place in the set), image (3, size, size) float32 normalised,
    audio (*front_end.shape) float32, gt_map (224, 224) float32 in [0, 1]. One that cannot be read is {"id": id,
    "index": place, "error": sentence}: the evaluation decides whether that stops the run.
    """

    __test__ = False  # not a case for pytest
    audio_source: str

    def __init__(self, benchmark: BenchmarkIndex, size: int, front_end: FrontEnd):
        self.benchmark, self.ids, self.size, self.front_end = benchmark, benchmark.ids, size, front_end

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict:
        try:
            return {
                "id": self.ids[index],
                "index": index,
                "image": test_image(self.frame(index), self.size),
                "audio": self.audio(index),
                "gt_map": torch.from_numpy(self.benchmark.gt_map(index)),
            }
        except (FileNotFoundError, ValueError) as error:
            return {"id": self.ids[index], "index": index, "error": str(error)}

    def frame(self, index: int) -> np.ndarray:
        """An item's image: (h, w, 3) uint8 RGB."""
        raise NotImplementedError

    def waveform(self, index: int) -> np.ndarray | None:
        """The part of an item's sound that the front end reads: (seconds x 16000,) float32 at 16 kHz; None where the
        set has no waveforms."""
        raise NotImplementedError

    def audio(self, index: int) -> torch.Tensor:
        """An item's sound as the audio network reads it: (*front_end.shape) float32."""
        raise NotImplementedError

    def find_missing(self) -> dict[str, str]:
        """{id: sentence} of the items whose files are missing, found without reading them."""
        raise NotImplementedError


class FilesTest(TestSet):
    """Images and sounds in single files, found by name in two folders and their subfolders.

    frames, sounds: (folder, suffix) of each; the suffix of a file may be in upper case. Raises FileNotFoundError where
    a folder is missing, ValueError where two files have the name of one item.
    """

    audio_source = "computed from sound files"

    def __init__(
        self,
        benchmark: BenchmarkIndex,
        frames: tuple[Path, str],
        sounds: tuple[Path, str],
        size: int = 224,
        front_end: FrontEnd = FRONT_ENDS["log_mel"],
    ):
        super().__init__(benchmark, size, front_end)
        for folder, _ in (frames, sounds):
            if not Path(folder).is_dir():
                raise FileNotFoundError(f"{folder} is missing: put the test files there, or give another --data_path")
        self.absent = set()  # paths of files that were not found
        self.frames, self.sounds = self._find(benchmark.images, *frames), self._find(benchmark.sounds, *sounds)

    def _find(self, names, folder, suffix):
        """The file of each name below a folder; for a missing one, where it could be."""
        found, paths = files_by_stem(folder, suffix), {}
        for name in names:
            paths[name] = the_file(found, name) or Path(folder) / f"{name}{suffix}"
            if name not in found:
                self.absent.add(paths[name])
        return paths

    def frame(self, index: int) -> np.ndarray:
        return read_image(self.frames[self.benchmark.images[index]])

    def waveform(self, index: int) -> np.ndarray:
        return load_clip(self.sounds[self.benchmark.sounds[index]], self.front_end.seconds)

    def audio(self, index: int) -> torch.Tensor:
        return torch.from_numpy(self.front_end.compute(self.waveform(index)))

    def find_missing(self) -> dict[str, str]:
        missing = {}
        for item_id, image, sound in zip(self.ids, self.benchmark.images, self.benchmark.sounds, strict=True):
            for path in (self.frames[image], self.sounds[sound]):
                if path in self.absent:
                    missing.setdefault(item_id, f"{path} is missing")
        return missing


class HDF5Test(TestSet):
    """Frames and sounds in HDF5 files; row i belongs to line i of a list.

    folder: .../Data with h5py_test_frames.h5 and, of the sounds, what StoredSounds reads. row_lists: lists of ids; the
    first with as many lines as the files have rows names the rows. Raises ValueError where none has.
    """

    def __init__(
        self,
        benchmark: BenchmarkIndex,
        folder: str | Path,
        row_lists: Sequence[str | Path],
        size: int = 224,
        front_end: FrontEnd = FRONT_ENDS["log_mel"],
    ):
        super().__init__(benchmark, size, front_end)
        folder = Path(folder)
        self.frames = HDF5Array([folder / "h5py_test_frames.h5"], "test_frames", FRAME)
        self.sounds = StoredSounds(front_end, lambda kind: [folder / f"h5py_test_{kind}.h5"], "test")
        self.audio_source = self.sounds.source
        check_rows(self.frames, self.sounds)
        waveforms, self.waveforms = folder / "h5py_test_audios.h5", None
        if waveforms.is_file():
            self.waveforms = HDF5Array([waveforms], "test_audios")
            check_rows(self.frames, self.waveforms)
        self.row_list, ids = find_row_list(row_lists, self.frames.paths[0], len(self.frames))
        self.row_of = {name: row for row, item_id in enumerate(ids) for name in (clip_name(item_id), item_id)}

    def _row(self, item_id):
        if item_id not in self.row_of:
            raise FileNotFoundError(
                f"{item_id} is missing in {self.frames.paths[0]}, whose rows are named by {self.row_list}"
            )
        return self.row_of[item_id]

    def frame(self, index: int) -> np.ndarray:
        frame = self.frames[self._row(self.benchmark.images[index])]
        if frame.dtype.kind == "f" and 0 < frame.max() <= 1:
            raise ValueError(f"{self.frames.paths[0]} has frames from 0 to 1: store them from 0 to 255")
        return frame.astype(np.uint8)

    def waveform(self, index: int) -> np.ndarray | None:
        row = self._row(self.benchmark.sounds[index])
        if self.waveforms is None:
            return None
        return fit_length(self.waveforms[row].astype(np.float32), self.front_end.seconds)

    def audio(self, index: int) -> torch.Tensor:
        return torch.from_numpy(self.sounds.take([self._row(self.benchmark.sounds[index])])[0])

    def find_missing(self) -> dict[str, str]:
        missing = {}
        for item_id, *needed in zip(self.ids, self.benchmark.images, self.benchmark.sounds, strict=True):
            for name in needed:
                if name not in self.row_of:
                    missing.setdefault(item_id, f"{name} is missing in {self.frames.paths[0]}")
        return missing


def find_row_list(row_lists: Sequence[str | Path], path: str | Path, rows: int) -> tuple[Path, list[str]]:
    """The first of some lists that has as many ids as an HDF5 file has rows, and its ids.

    path: of the HDF5 file, for the message. Raises ValueError where no list has.
    """
    counts = []
    for row_list in map(Path, row_lists):
        ids = read_ids(row_list)
        if len(ids) == rows:
            return row_list, ids
        counts.append(f"{row_list} names {len(ids)} ids")
    raise ValueError(
        f"{path} has {rows} rows but {' and '.join(counts)}: row i must belong to line i, prepare both together"
    )


class ShuffledSounds(Dataset):
    """A test set whose items have the sound of another item: how far the score falls shows what the sound decides.

    Each item gets the sound of a random one (seeded): of a class that is visible but silent in it, where the benchmark
    names such classes; else of another class; else of any other item. Sounds of items whose files are missing are not
    used, nor, where classes are known, those of items without one (silent pairs). donors: the item whose sound each
    item has.
    """

    def __init__(self, test_set: TestSet, seed: int = 0):
        self.test_set, self.benchmark, self.ids = test_set, test_set.benchmark, test_set.ids
        self.front_end, self.audio_source = test_set.front_end, test_set.audio_source
        missing = test_set.find_missing()
        rng, choose = np.random.default_rng(seed), _Donors(self.benchmark, [one not in missing for one in self.ids])
        self.donors = [choose.donor(index, rng) for index in range(len(test_set))]

    def __len__(self) -> int:
        return len(self.test_set)

    def __getitem__(self, index: int) -> dict:
        item = self.test_set[index]
        try:
            return item if "error" in item else {**item, "audio": self.audio(index)}
        except (FileNotFoundError, ValueError) as error:
            return {"id": item["id"], "index": index, "error": str(error)}

    def audio(self, index: int) -> torch.Tensor:
        return self.test_set.audio(self.donors[index])

    def waveform(self, index: int) -> np.ndarray | None:
        return self.test_set.waveform(self.donors[index])

    def find_missing(self) -> dict[str, str]:
        return self.test_set.find_missing()


class _Donors:
    """Draws other items for ShuffledSounds, in a time that grows with the number of items, not with its square."""

    TRIES = 32  # candidates drawn at once; where none of them fits, all are tried

    def __init__(self, benchmark, present):
        self.sounds = np.unique(benchmark.sounds, return_inverse=True)[1]
        names = benchmark.classes or [None] * len(benchmark)
        number = {name: i for i, name in enumerate(dict.fromkeys(name for name in names if name is not None))}
        self.classes = np.array([number.get(name, -1) for name in names])  # -1: without a class
        self.silent = benchmark.silent
        self.present = np.flatnonzero(present)
        self.members = {name: self.present[self.classes[self.present] == i] for name, i in number.items()}
        # Only the largest class may hold so many items that hardly a draw is of another one.
        self.largest = int(np.bincount(self.classes[self.present] + 1, minlength=1).argmax()) - 1
        self.outside = self.present[self.classes[self.present] != self.largest]

    def donor(self, index, rng):
        def another_sound(items):
            return self.sounds[items] != self.sounds[index]

        def another_class(items):
            classes = self.classes[items]
            return another_sound(items) & (classes >= 0) & (classes != self.classes[index])

        silent = [self.members[name] for name in (self.silent[index] if self.silent else []) if name in self.members]
        pools = [(items, another_sound) for items in (silent[i] for i in rng.permutation(len(silent)))]
        others = self.outside if self.classes[index] == self.largest else self.present
        for items, fits in (*pools, (others, another_class), (self.present, another_sound)):
            if len(items):
                drawn = rng.choice(items, self.TRIES)
                drawn = drawn[fits(drawn)]
                if not len(drawn):
                    drawn = rng.permutation(items[fits(items)])
                if len(drawn):
                    return int(drawn[0])
        return index


def collate(items: list[dict]) -> tuple[dict | None, list[dict]]:
    """The batch of the readable items (None if there are none), and the list of the others."""
    readable = [item for item in items if "error" not in item]
    return default_collate(readable) if readable else None, [item for item in items if "error" in item]
