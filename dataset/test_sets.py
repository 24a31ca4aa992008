"""The test sets, one class a benchmark's format, the same keys from each: id, image, spect, gt_map."""

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset, default_collate

from dataset.annotations import flickr_boxes, flickr_map, read_ids, vggss_boxes, vggss_map
from dataset.audio import SAMPLES, load_clip, log_mel_patches, scale
from dataset.hdf5 import HDF5Array
from dataset.train_set import FRAME, SPECT, check_rows
from dataset.transforms import read_image, test_image


class TestSet(Dataset):
    """What the benchmarks share. A subclass sets ids and reads one item's parts.

    An item is a dict: id (str), image (3, size, size) float32 normalised, spect (3, 1, 96, 64) float32, gt_map
    (224, 224) float32 in [0, 1]. One that cannot be read is {"id": id, "error": sentence}: the evaluation decides
    whether that stops the run. classes: the class of each item, silent: the classes of what is seen but not heard in
    it; None where the benchmark does not tell.
    """

    __test__ = False  # not a case for pytest
    classes = None
    silent = None

    def __init__(self, ids, size):
        self.ids, self.size = ids, size

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        try:
            return {
                "id": self.ids[index],
                "image": test_image(self.frame(index), self.size),
                "spect": self.spect(index),
                "gt_map": torch.from_numpy(self.gt_map(index)),
            }
        except (FileNotFoundError, ValueError) as error:
            return {"id": self.ids[index], "error": str(error)}

    def sound(self, index):
        """What is heard: (48000,) float32 at 16 kHz, None where only its spectrogram is stored. Only listeners ask."""


class FlickrTest(TestSet):
    """Flickr-SoundNet's labelled frames: jpg, wav and XML files, by id.

    folder: .../5k_labeled; id_list: file of ids.
    """

    def __init__(self, folder, id_list, size=224):
        super().__init__(read_ids(id_list), size)
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{folder} is missing: put the test files there, or give another --data_path")

    def frame(self, index):
        return read_image(self.folder / "Data" / "frames" / f"{self.ids[index]}.jpg")

    def sound(self, index):
        return load_clip(self.folder / "Data" / "audio" / f"{self.ids[index]}.wav")

    def spect(self, index):
        return torch.from_numpy(log_mel_patches(scale(self.sound(index))))[:, None]

    def gt_map(self, index):
        return flickr_map(flickr_boxes(self.folder / "Annotations" / f"{self.ids[index]}.xml"))


class VGGSSTest(TestSet):
    """VGG-SS and sets of its format: frames and spectrograms in HDF5 (row i is line i of the id list), boxes in JSON.

    folder: .../Data with h5py_test_frames.h5, h5py_test_spects.h5, and for listeners h5py_test_audios.h5; id_list and
    annotations: files.
    """

    def __init__(self, folder, id_list, annotations, size=224):
        super().__init__(read_ids(id_list), size)
        folder = Path(folder)
        self.frames = HDF5Array([folder / "h5py_test_frames.h5"], "test_frames", FRAME)
        self.spects = HDF5Array([folder / "h5py_test_spects.h5"], "test_spects", SPECT)
        check_rows(self.frames, self.spects)
        audios = folder / "h5py_test_audios.h5"
        self.audios = HDF5Array([audios], "test_audios", (SAMPLES,)) if audios.is_file() else None
        if len(self.frames) != len(self.ids):
            raise ValueError(
                f"{self.frames.paths[0]} has {len(self.frames)} rows but {id_list} names {len(self.ids)} ids: "
                "row i must belong to line i, prepare both together"
            )
        self.annotations = vggss_boxes(annotations)
        unknown = [item_id for item_id in self.ids if item_id not in self.annotations]
        if unknown:
            raise ValueError(f"{annotations} has no boxes for {unknown[0]} ({len(unknown)} in all) of {id_list}")
        items = [self.annotations[item_id] for item_id in self.ids]
        if all("class" in item for item in items):
            self.classes = [item["class"] for item in items]
        if all(item.get("silent") for item in items):
            self.silent = [item["silent"] for item in items]

    def frame(self, index):
        return self.frames[index].astype(np.uint8)

    def spect(self, index):
        return torch.from_numpy(self.spects[index].astype(np.float32))[:, None]

    def sound(self, index):
        return None if self.audios is None else self.audios[index].astype(np.float32)

    def gt_map(self, index):
        return vggss_map(self.annotations[self.ids[index]]["bbox"])


class SwappedSounds(Dataset):
    """A test set whose items sound like another item: what the sound decides shows in the fall of the score.

    Each item is given the sound of a random one (seeded): of a class that is seen but silent in it, where the set
    tells and has one; else of another class; else any other.
    """

    def __init__(self, test_set, seed=0):
        self.test_set, self.ids, self.classes = test_set, test_set.ids, test_set.classes
        rng = np.random.default_rng(seed)
        self.donors = [int(rng.choice(self._candidates(index))) for index in range(len(test_set))]

    def _candidates(self, index):
        classes, silent = self.test_set.classes, self.test_set.silent
        others = np.delete(np.arange(len(self.test_set)), index)
        if classes:
            heard = np.array(classes)[others]
            for choice in (np.isin(heard, silent[index] if silent else []), heard != classes[index]):
                if choice.any():
                    return others[choice]
        return others if len(others) else [index]

    def __len__(self):
        return len(self.test_set)

    def sound(self, index):
        return self.test_set.sound(self.donors[index])

    def __getitem__(self, index):
        item = self.test_set[index]
        try:
            return item if "error" in item else {**item, "spect": self.test_set.spect(self.donors[index])}
        except (FileNotFoundError, ValueError) as error:
            return {"id": item["id"], "error": str(error)}


def collate(items):
    """Default collate of the readable items (None if there is none), and the list of the others."""
    readable = [item for item in items if "error" not in item]
    return default_collate(readable) if readable else None, [item for item in items if "error" in item]
