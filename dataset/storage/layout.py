"""The files of a training folder: names, shapes, shards."""

import re
from pathlib import Path

# Where each training set lies under --data_path.
TRAIN_FOLDERS = {
    "flickr10k": "SoundNet_Flickr/10k_unlabeled",
    "flickr144k": "SoundNet_Flickr/144k_unlabeled",
    "vggsound10k": "VGG-Sound/10k_unlabeled",
    "vggsound144k": "VGG-Sound/144k_unlabeled",
    "custom": "Custom/unlabeled",
    "demo": "Demo/SoundNet_Flickr/10k_unlabeled",
}

FRAME = (256, 256, 3)
SPECT = (3, 96, 64)


def find_shards(folder):
    """Names of the shards in a folder, in numerical order: "10k", or "144k_1", "144k_2", ... "144k_10".

    Any shard of frames or of spects counts: where the other is missing, reading says so. Raises FileNotFoundError where
    the folder is missing or empty, or where a number of the series is.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is missing: put the training files there, or give another --data_path or --trainset"
        )
    files = [*folder.glob("h5py_train_frames_*.h5"), *folder.glob("h5py_train_spects_*.h5")]
    names = {re.sub("^h5py_train_(frames|spects)_", "", path.stem) for path in files}
    if not names:
        raise FileNotFoundError(f"{folder} has no h5py_train_frames_*.h5: put the training files there")
    numbered = {int(match[1]): name for name in names if (match := re.search(r"_(\d+)$", name))}
    for number in range(1, max(numbered, default=0)):
        if number not in numbered:
            stem = next(iter(numbered.values())).rpartition("_")[0]
            raise FileNotFoundError(f"{path_of(folder, 'frames', f'{stem}_{number}')} is missing: complete the shards")
    return sorted(names, key=lambda name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)])


def path_of(folder, kind, shard):
    """The file of a shard: kind is frames, audios, spects or masks."""
    return Path(folder) / f"h5py_train_{kind}_{shard}.h5"


def check_rows(first, second):
    """Raises ValueError where two arrays' files differ in their number of rows."""
    for path, rows, other_path, other_rows in zip(first.paths, first.rows, second.paths, second.rows, strict=True):
        if rows != other_rows:
            raise ValueError(f"{path} has {rows} rows but {other_path.name} has {other_rows}: prepare both together")
