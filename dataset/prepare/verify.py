"""Reads every file of a data folder once and says what is in it: python -m dataset.prepare verify DATASETS"""

from collections import defaultdict
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dataset import TRAIN_FOLDERS
from dataset.benchmarks.annotations import read_ids
from dataset.media.audio import SAMPLES
from dataset.storage.hdf5 import HDF5Array
from dataset.storage.layout import FRAME, SPECT, find_shards, path_of

SHAPES = {"frames": FRAME, "audios": (SAMPLES,), "spects": SPECT, "masks": FRAME[:2]}
MOST_REGIONS = 65  # 256 x 256 pixels, at least 1000 a region
TEST_FOLDERS = {  # arrays, and the list whose line i names row i
    "VGG-Sound/5k_labeled/Data": "VGG-Sound/vggss_test_4692.csv",
    "Custom/labeled/Data": "Custom/custom_test.csv",
    "Demo/VGG-Sound/5k_labeled/Data": "Demo/VGG-Sound/vggss_test_4692.csv",
}


def verify(datasets):
    """Checks the training and test arrays under a data folder, reading each row once.

    Returns two lists of sentences: what was found, and what is wrong with it (nothing: an empty list). Raises
    FileNotFoundError where the folder holds no arrays at all.
    """
    root, found, problems = Path(datasets), [], []
    for folder in dict.fromkeys(TRAIN_FOLDERS.values()):
        if any((root / folder).glob("h5py_train_*.h5")):
            _verify_train(root / folder, found, problems)
    for folder, id_list in TEST_FOLDERS.items():
        if any((root / folder).glob("h5py_test_*.h5")):
            _verify_test(root / folder, root / id_list, found, problems)
    if not found and not problems:
        raise FileNotFoundError(f"{root} holds no h5py_*.h5 where training or testing looks: name a data folder")
    leftover = root.rglob("*.partial")
    problems += [f"{path} was not finished: run the command that began it again, or remove it" for path in leftover]
    return found, problems


def _verify_train(folder, found, problems):
    try:
        shards = find_shards(folder)
    except FileNotFoundError as error:
        problems.append(str(error))
        return
    for shard in shards:
        rows = {}
        for kind in SHAPES:
            path = path_of(folder, kind, shard)
            if path.is_file():
                rows[kind] = _verify_array(path, kind, "train", found, problems)
            elif kind != "masks":  # masks may be missing: they are made when they are needed
                problems.append(f"{path} is missing: prepare the shard's files together")
        _agree(folder / f"*_{shard}.h5", rows, problems)


def _verify_test(folder, id_list, found, problems):
    rows = {}
    for kind in ("frames", "audios", "spects"):
        path = folder / f"h5py_test_{kind}.h5"
        if path.is_file():
            rows[kind] = _verify_array(path, kind, "test", found, problems)
        elif kind != "audios":
            problems.append(f"{path} is missing: prepare the test files together")
    try:
        rows[id_list.name] = len(read_ids(id_list))
    except (FileNotFoundError, ValueError) as error:
        problems.append(str(error))
    _agree(folder, rows, problems)


def _agree(where, rows, problems):
    """Row i of each file belongs to one clip, so that all must have as many."""
    known = {name: count for name, count in rows.items() if count is not None}
    if len(set(known.values())) > 1:
        counts = ", ".join(f"{name} {count}" for name, count in known.items())
        problems.append(f"{where}: the numbers of rows differ ({counts}): prepare these files together")


def _verify_array(path, kind, split, found, problems):
    """Reads one file; returns its number of rows, None where it cannot be read at all."""
    try:
        array = HDF5Array([path], f"{split}_{kind}", SHAPES[kind])
    except (FileNotFoundError, ValueError) as error:
        problems.append(str(error))
        return None
    wrong, regions = defaultdict(list), []
    for index in tqdm(range(len(array)), path.name, unit=" rows", leave=False):
        try:
            row = array[index]
        except (OSError, ValueError) as error:
            wrong[f"cannot be read ({str(error):.80})"].append(index)
            continue
        for reason in _faults(row, kind):
            wrong[reason].append(index)
        if kind == "masks":
            regions.append(len(np.unique(row)))
    text = f"{path}: {len(array)} rows of {SHAPES[kind]}"
    if regions:
        text += f", {np.mean(regions):.1f} regions on average, {np.mean(np.array(regions) == 1):.1%} with one only"
    found.append(text)
    for reason, indices in wrong.items():
        some = ", ".join(map(str, indices[:5])) + (" ..." if len(indices) > 5 else "")
        problems.append(f"{path}: {len(indices)} rows {reason} (rows {some}): prepare the file anew without them")
    return len(array)


def _faults(row, kind):
    """What is wrong with one row, as ends of sentences."""
    if row.dtype.kind == "f" and not np.isfinite(row).all():
        return ["hold numbers that are not finite"]
    if kind == "masks":
        labels = np.unique(row)
        return (
            ["have labels that do not count up from 0"]
            if labels[-1] != len(labels) - 1 or len(labels) > MOST_REGIONS
            else []
        )
    if row.max() - row.min() > 0:
        return []
    return [{"frames": "are of one colour", "audios": "are silent", "spects": "are silent"}[kind]]
