"""Reads every HDF5 file of a data folder once and reports what is wrong: python -m dataset.prepare verify DATASETS"""

from collections import defaultdict
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dataset.benchmarks import BENCHMARKS
from dataset.benchmarks.test_sets import find_row_list
from dataset.prepare.rows import TRAIN_KINDS
from dataset.storage.hdf5 import HDF5Array
from dataset.storage.layout import FRAME, SPECT, TRAIN_FOLDERS, find_shards, path_of

SHAPES = {"frames": FRAME, "audios": None, "spects": SPECT, "masks": FRAME[:2]}
MOST_REGIONS = 65  # 256 x 256 pixels, at least 1000 a region
CONSTANT = {"frames": "are of one colour", "audios": "are silent", "spects": "are silent"}


def verify(datasets: str | Path) -> tuple[list[str], list[str]]:
    """Checks the training and test arrays under a data folder, reading each row once.

    Returns sentences on what was found, and on what is wrong with it. Raises FileNotFoundError where the folder holds
    no arrays.
    """
    root, found, problems = Path(datasets), [], []
    for folder in dict.fromkeys(TRAIN_FOLDERS.values()):
        if any((root / folder).glob("h5py_train_*.h5")):
            _verify_train(root / folder, found, problems)
    places = {Path(one.folder, one.arrays): one for one in BENCHMARKS.values() if one.arrays}
    for folder, benchmark in places.items():
        if any((root / folder).glob("h5py_test_*.h5")):
            _verify_test(root / folder, benchmark.find_row_lists(root), found, problems)
    if not found and not problems:
        raise FileNotFoundError(f"{root} holds no h5py_*.h5 where training or testing reads: name a data folder")
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
        # masks may be missing: training computes them
        paths = {kind: path_of(folder, kind, shard) for kind in TRAIN_KINDS}
        _verify_arrays(paths, "train", ("frames", "audios", "spects"), found, problems)


def _verify_test(folder, row_lists, found, problems):
    paths = {kind: folder / f"h5py_test_{kind}.h5" for kind in ("frames", "audios", "spects")}
    rows = _verify_arrays(paths, "test", ("frames", "spects"), found, problems)
    try:
        if "frames" in rows:
            find_row_list(row_lists, paths["frames"], rows["frames"])
    except (FileNotFoundError, ValueError) as error:
        problems.append(str(error))


def _verify_arrays(paths, split, required, found, problems):
    """Reads the files of one shard or test set; returns the number of rows of each kind that can be read."""
    rows = {}
    for kind, path in paths.items():
        if path.is_file():
            rows[kind] = _verify_array(path, kind, split, found, problems)
        elif kind in required:
            problems.append(f"{path} is missing: prepare the files of one shard or test set together")
    rows = {kind: count for kind, count in rows.items() if count is not None}
    if len(set(rows.values())) > 1:
        counts = ", ".join(f"{paths[kind]} {count}" for kind, count in rows.items())
        problems.append(f"the numbers of rows differ ({counts}): prepare these files together")
    return rows


def _verify_array(path, kind, split, found, problems):
    """Reads one file; returns its number of rows, None where it cannot be read at all."""
    try:
        array = HDF5Array([path], f"{split}_{kind}", SHAPES[kind])
    except (OSError, KeyError, ValueError) as error:
        problems.append(str(error) if str(path) in str(error) else f"{path}: {error}")
        return None
    wrong, regions = defaultdict(list), []
    for index in tqdm(range(len(array)), path.name, unit=" rows", leave=False):
        try:
            row = array[index]
        except (OSError, ValueError) as error:
            wrong[f"cannot be read ({str(error):.80})"].append(index)
            continue
        if fault := _fault(row, kind):
            wrong[fault].append(index)
        if kind == "masks":
            regions.append(len(np.unique(row)))
    text = f"{path}: {len(array)} rows of {array.row_shape}"
    if regions:
        text += f", {np.mean(regions):.1f} regions on average, {np.mean(np.array(regions) == 1):.1%} with one only"
    found.append(text)
    for reason, indices in wrong.items():
        some = ", ".join(map(str, indices[:5])) + (" ..." if len(indices) > 5 else "")
        problems.append(f"{path}: {len(indices)} rows {reason} (rows {some}): prepare the file anew without them")
    return len(array)


def _fault(row, kind):
    """What is wrong with one row, as the end of a sentence; None where nothing is."""
    if row.dtype.kind == "f" and not np.isfinite(row).all():
        return "hold numbers that are not finite"
    if kind == "masks":
        labels = np.unique(row)
        fine = labels[-1] == len(labels) - 1 and len(labels) <= MOST_REGIONS
        return None if fine else "have labels that do not count up from 0"
    if row.max() == row.min():
        return CONSTANT[kind]
    if kind == "frames" and row.dtype.kind == "f" and row.max() <= 1:
        return "have colours from 0 to 1 instead of 0 to 255"
    return None
