"""The test sets: what a benchmark's Labels say, with frames and sounds, the same keys from each."""

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset, default_collate

from dataset.benchmarks.annotations import read_ids
from dataset.benchmarks.ids import clip_name
from dataset.frontends.log_mel import log_mel_patches, scale
from dataset.media.audio import SAMPLES, load_clip
from dataset.media.image import read_image, test_image
from dataset.storage.hdf5 import HDF5Array
from dataset.storage.layout import FRAME, SPECT, check_rows


class TestSet(Dataset):
    """What the test sets share. A subclass reads one item's frame, waveform and spect, and says which are missing.

    labels: the benchmark's. An item is a dict: id (str), image (3, size, size) float32 normalised, spect (3, 1, 96, 64)
    float32, gt_map (224, 224) float32 in [0, 1]. One that cannot be read is {"id": id, "error": sentence}: the
    evaluation decides whether that stops the run.
    """

    __test__ = False  # not a case for pytest

    def __init__(self, labels, size):
        self.labels, self.ids, self.size = labels, labels.ids, size

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        try:
            return {
                "id": self.ids[index],
                "image": test_image(self.frame(index), self.size),
                "spect": self.spect(index),
                "gt_map": torch.from_numpy(self.labels.gt_map(index)),
            }
        except (FileNotFoundError, ValueError) as error:
            return {"id": self.ids[index], "error": str(error)}

    def frame(self, index):
        """An item's image: (h, w, 3) uint8 RGB."""
        raise NotImplementedError

    def waveform(self, index):
        """An item's sound as it is heard: (48000,) float32 at 16 kHz, None where the set holds spectrograms only."""
        raise NotImplementedError

    def spect(self, index):
        """An item's sound as the network reads it: (3, 1, 96, 64) float32."""
        return torch.from_numpy(log_mel_patches(scale(self.waveform(index))))[:, None]

    def find_missing(self):
        """{id: sentence} of the items whose files are not there, found without reading them."""
        raise NotImplementedError


class FilesTest(TestSet):
    """Images and sounds in files of their own, by name, anywhere below two folders.

    frames, sounds: (folder, suffix) of each. Raises FileNotFoundError where a folder is missing.
    """

    def __init__(self, labels, frames, sounds, size=224):
        super().__init__(labels, size)
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
        return load_clip(self._path("sounds", self.labels.sounds[index]))

    def find_missing(self):
        missing = {}
        for item_id, image, sound in zip(self.ids, self.labels.images, self.labels.sounds, strict=True):
            for kind, name in (("frames", image), ("sounds", sound)):
                if name not in self.files[kind]:
                    missing.setdefault(item_id, f"{self._path(kind, name)} is missing")
        return missing


class HDF5Test(TestSet):
    """Frames and spectrograms in HDF5 files, with sounds where they are there; row i belongs to line i of a list.

    folder: .../Data with h5py_test_frames.h5, h5py_test_spects.h5 and perhaps h5py_test_audios.h5; rows: lists of ids,
    of which the first with as many lines as the files have rows is theirs. Raises ValueError where none has.
    """

    def __init__(self, labels, folder, rows, size=224):
        super().__init__(labels, size)
        folder = Path(folder)
        self.frames = HDF5Array([folder / "h5py_test_frames.h5"], "test_frames", FRAME)
        self.spects = HDF5Array([folder / "h5py_test_spects.h5"], "test_spects", SPECT)
        check_rows(self.frames, self.spects)
        self.audios = None
        if (folder / "h5py_test_audios.h5").is_file():
            self.audios = HDF5Array([folder / "h5py_test_audios.h5"], "test_audios", (SAMPLES,))
            check_rows(self.frames, self.audios)
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
        return None if self.audios is None else self.audios[row].astype(np.float32)

    def spect(self, index):
        return torch.from_numpy(self.spects[self._row(self.labels.sounds[index])].astype(np.float32))[:, None]

    def find_missing(self):
        missing = {}
        for item_id, *needed in zip(self.ids, self.labels.images, self.labels.sounds, strict=True):
            for name in needed:
                if name not in self.row_of:
                    missing.setdefault(item_id, f"{name} is missing in {self.frames.paths[0]}")
        return missing


class SwappedSounds(Dataset):
    """A test set whose items sound like another item: what the sound decides shows in the fall of the score.

    Each item is given the sound of a random one (seeded): of a class that is seen but silent in it, where the set
    tells and has one; else of another class; else any other. Items whose files are missing give none.
    """

    def __init__(self, test_set, seed=0):
        self.test_set, self.labels, self.ids = test_set, test_set.labels, test_set.ids
        rng, missing = np.random.default_rng(seed), test_set.find_missing()
        self.at_hand = np.array([item_id not in missing for item_id in self.ids])
        self.donors = [int(rng.choice(self._candidates(index))) for index in range(len(test_set))]

    def _candidates(self, index):
        classes, silent = self.labels.classes, self.labels.silent
        differs = np.array(self.labels.sounds) != self.labels.sounds[index]  # some share a sound
        others = np.flatnonzero(differs & self.at_hand)
        if classes:
            heard = np.array(classes)[others]
            for choice in (np.isin(heard, silent[index] if silent else []), heard != classes[index]):
                if choice.any():
                    return others[choice]
        return others if len(others) else [index]

    def __len__(self):
        return len(self.test_set)

    def __getitem__(self, index):
        item = self.test_set[index]
        try:
            return item if "error" in item else {**item, "spect": self.spect(index)}
        except (FileNotFoundError, ValueError) as error:
            return {"id": item["id"], "error": str(error)}

    def spect(self, index):
        return self.test_set.spect(self.donors[index])

    def waveform(self, index):
        return self.test_set.waveform(self.donors[index])

    def find_missing(self):
        return self.test_set.find_missing()


def collate(items):
    """Default collate of the readable items (None if there is none), and the list of the others."""
    readable = [item for item in items if "error" not in item]
    return default_collate(readable) if readable else None, [item for item in items if "error" in item]
