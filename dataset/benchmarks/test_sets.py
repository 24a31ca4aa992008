"""The test sets: what a benchmark's Labels say, with frames and sounds, the same keys from each."""

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset, default_collate

from dataset.benchmarks.annotations import read_ids
from dataset.benchmarks.ids import clip_name
from dataset.frontends import FRONT_ENDS, FrontEnd
from dataset.media.audio import load_clip
from dataset.media.image import read_image, test_image
from dataset.storage.hdf5 import HDF5Array
from dataset.storage.layout import FRAME, check_rows
from dataset.storage.sounds import StoredSounds


class TestSet(Dataset):
    """What the test sets share. A subclass reads one item's frame, waveform and audio, and says which are missing.

    labels: the benchmark's. front_end: how the audio network reads a sound. audio_source: where its input comes from,
    for results.json. An item is a dict: id (str), index (its place in the set), image (3, size, size) float32
    normalised, audio (*front_end.shape) float32, gt_map (224, 224) float32 in [0, 1]. One that cannot be read is {"id":
    id, "index": place, "error": sentence}: the evaluation decides whether that stops the run.
    """

    __test__ = False  # not a case for pytest

    def __init__(self, labels, size: int, front_end: FrontEnd):
        self.labels, self.ids, self.size, self.front_end = labels, labels.ids, size, front_end

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        try:
            return {
                "id": self.ids[index],
                "index": index,
                "image": test_image(self.frame(index), self.size),
                "audio": self.audio(index),
                "gt_map": torch.from_numpy(self.labels.gt_map(index)),
            }
        except (FileNotFoundError, ValueError) as error:
            return {"id": self.ids[index], "index": index, "error": str(error)}

    def frame(self, index):
        """An item's image: (h, w, 3) uint8 RGB."""
        raise NotImplementedError

    def waveform(self, index):
        """An item's sound as it is heard: (n,) float32 at 16 kHz, None where the set holds no waveforms."""
        raise NotImplementedError

    def audio(self, index):
        """An item's sound as the audio network reads it: (*front_end.shape) float32."""
        raise NotImplementedError

    def find_missing(self):
        """{id: sentence} of the items whose files are not there, found without reading them."""
        raise NotImplementedError


class FilesTest(TestSet):
    """Images and sounds in files of their own, by name, anywhere below two folders.

    frames, sounds: (folder, suffix) of each. Raises FileNotFoundError where a folder is missing.
    """

    audio_source = "computed from sound files"

    def __init__(self, labels, frames, sounds, size: int = 224, front_end: FrontEnd = FRONT_ENDS["log_mel"]):
        super().__init__(labels, size, front_end)
        self.places = {"frames": frames, "sounds": sounds}
        self.files = {}
        for kind, (folder, suffix) in self.places.items():
            if not Path(folder).is_dir():
                raise FileNotFoundError(f"{folder} is missing: put the test files there, or give another --data_path")
            self.files[kind] = {path.stem: path for path in Path(folder).rglob(f"*{suffix}")}

    def _path(self, kind, name):
        folder, suffix = self.places[kind]
        return self.files[kind].get(name, Path(folder) / f"{name}{suffix}")

    def frame(self, index):
        return read_image(self._path("frames", self.labels.images[index]))

    def waveform(self, index):
        return load_clip(self._path("sounds", self.labels.sounds[index]), self.front_end.seconds)

    def audio(self, index):
        return torch.from_numpy(self.front_end.compute(self.waveform(index)))

    def find_missing(self):
        missing = {}
        for item_id, image, sound in zip(self.ids, self.labels.images, self.labels.sounds, strict=True):
            for kind, name in (("frames", image), ("sounds", sound)):
                if name not in self.files[kind]:
                    missing.setdefault(item_id, f"{self._path(kind, name)} is missing")
        return missing


class HDF5Test(TestSet):
    """Frames and sounds in HDF5 files; row i belongs to line i of a list.

    folder: .../Data with h5py_test_frames.h5 and, of the sounds, what StoredSounds reads. rows: lists of ids, of which
    the first with as many lines as the files have rows is theirs. Raises ValueError where none has.
    """

    def __init__(self, labels, folder, rows, size: int = 224, front_end: FrontEnd = FRONT_ENDS["log_mel"]):
        super().__init__(labels, size, front_end)
        folder = Path(folder)
        self.frames = HDF5Array([folder / "h5py_test_frames.h5"], "test_frames", FRAME)
        self.sounds = StoredSounds(front_end, lambda kind: [folder / f"h5py_test_{kind}.h5"], "test")
        self.audio_source = self.sounds.source
        check_rows(self.frames, self.sounds)
        waveforms, self.waveforms = folder / "h5py_test_audios.h5", None
        if waveforms.is_file():
            self.waveforms = HDF5Array([waveforms], "test_audios")
            check_rows(self.frames, self.waveforms)
        names = {Path(path): read_ids(path) for path in rows}
        fitting = [path for path, ids in names.items() if len(ids) == len(self.frames)]
        if not fitting:
            path, ids = next(iter(names.items()))
            raise ValueError(
                f"{self.frames.paths[0]} has {len(self.frames)} rows but {path} names {len(ids)} ids: "
                "row i must belong to line i, prepare both together"
            )
        self.rows_list = fitting[0]
        ids = names[self.rows_list]
        self.row_of = {name: row for row, item_id in enumerate(ids) for name in (clip_name(item_id), item_id)}

    def _row(self, item_id):
        if item_id not in self.row_of:
            raise FileNotFoundError(
                f"{item_id} is missing in {self.frames.paths[0]}, whose rows {self.rows_list} names"
            )
        return self.row_of[item_id]

    def frame(self, index):
        return self.frames[self._row(self.labels.images[index])].astype(np.uint8)

    def waveform(self, index):
        row = self._row(self.labels.sounds[index])
        return None if self.waveforms is None else self.waveforms[row].astype(np.float32)

    def audio(self, index):
        return torch.from_numpy(self.sounds.take([self._row(self.labels.sounds[index])])[0])

    def find_missing(self):
        missing = {}
        for item_id, *needed in zip(self.ids, self.labels.images, self.labels.sounds, strict=True):
            for name in needed:
                if name not in self.row_of:
                    missing.setdefault(item_id, f"{name} is missing in {self.frames.paths[0]}")
        return missing


class ShuffledSounds(Dataset):
    """A test set whose items have the sound of another item: how far the score falls shows what the sound decides.

    Each item is given the sound of a random one (seeded): of a class that is seen but silent in it, where the set
    tells and has one; else of another class; else any other. Items whose files are missing give none.
    donors: the item whose sound each item has.
    """

    def __init__(self, test_set, seed: int = 0):
        self.test_set, self.labels, self.ids = test_set, test_set.labels, test_set.ids
        self.front_end, self.audio_source = test_set.front_end, test_set.audio_source
        missing = test_set.find_missing()
        rng, choose = np.random.default_rng(seed), _Donors(self.labels, [one not in missing for one in self.ids])
        self.donors = [choose.donor(index, rng) for index in range(len(test_set))]

    def __len__(self):
        return len(self.test_set)

    def __getitem__(self, index):
        item = self.test_set[index]
        try:
            return item if "error" in item else {**item, "audio": self.audio(index)}
        except (FileNotFoundError, ValueError) as error:
            return {"id": item["id"], "index": index, "error": str(error)}

    def audio(self, index):
        return self.test_set.audio(self.donors[index])

    def waveform(self, index):
        return self.test_set.waveform(self.donors[index])

    def find_missing(self):
        return self.test_set.find_missing()


class _Donors:
    """Draws other items for ShuffledSounds, in a time that grows with the number of items, not with its square."""

    TRIES = 32  # candidates drawn at once; where none of them fits, all are looked through

    def __init__(self, labels, at_hand):
        self.sounds = np.unique(labels.sounds, return_inverse=True)[1]
        names = labels.classes or [None] * len(labels)
        number = {name: i for i, name in enumerate(dict.fromkeys(names))}
        self.classes, self.silent = np.array([number[name] for name in names]), labels.silent
        self.at_hand = np.flatnonzero(at_hand)
        self.members = {name: self.at_hand[self.classes[self.at_hand] == i] for name, i in number.items()}
        # Only the largest class may hold so many items that hardly a draw is of another one.
        self.largest = int(np.bincount(self.classes[self.at_hand], minlength=1).argmax())
        self.outside = self.at_hand[self.classes[self.at_hand] != self.largest]

    def donor(self, index, rng):
        def another_sound(items):
            return self.sounds[items] != self.sounds[index]

        def another_class(items):
            return another_sound(items) & (self.classes[items] != self.classes[index])

        silent = [self.members[name] for name in (self.silent[index] if self.silent else []) if name in self.members]
        pools = [(items, another_sound) for items in (silent[i] for i in rng.permutation(len(silent)))]
        others = self.outside if self.classes[index] == self.largest else self.at_hand
        for items, fits in (*pools, (others, another_class), (self.at_hand, another_sound)):
            if len(items):
                drawn = rng.choice(items, self.TRIES)
                drawn = drawn[fits(drawn)]
                if not len(drawn):
                    drawn = rng.permutation(items[fits(items)])
                if len(drawn):
                    return int(drawn[0])
        return index


def collate(items):
    """Default collate of the readable items (None if there is none), and the list of the others."""
    readable = [item for item in items if "error" not in item]
    return default_collate(readable) if readable else None, [item for item in items if "error" in item]
