"""Images with sounds of your own: python -m dataset.prepare pairs --manifest FILE --out DATASETS

The manifest is a JSON list of objects, one a pair of an image and a sound:

    {"id": "dog_1", "split": "train", "image": "images/dog_1.jpg", "audio": "audio/dog_1.wav",
     "boxes": [[0.1, 0.2, 0.6, 0.9]], "class": "dog"}

split is "train" or "test"; image and audio are relative to the manifest's folder; boxes of the sounding objects are x0
y0 x1 y1 as fractions of the image's width and height: required for test items, not used in training; class is for the
tables by class. Written into DATASETS/Custom:

    unlabeled/h5py_train_{frames,audios,spects,masks}_custom.h5   unlabeled/train_ids.csv
    labeled/Data/h5py_test_{frames,audios,spects}.h5              labeled/Annotations/custom_test.json
    custom_test.csv                                               line i of a csv names row i of the arrays
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tqdm import tqdm

from dataset.benchmarks.annotations import check_id
from dataset.benchmarks.ids import clip_name
from dataset.media.audio import load_clip
from dataset.media.image import read_image
from dataset.prepare.rows import TEST_KINDS, TRAIN_KINDS, RowWriter, array_paths, make_row
from dataset.storage.atomic import write_text
from dataset.storage.parallel import map_in_order


def read_pairs(path: str | Path) -> tuple[list[dict], list[dict]]:
    """The items of a manifest (see above), checked: (train, test), lists of dicts in the manifest's order.

    Each dict has id (str), image and audio (Path, existing files), class (str, "" if not given) and boxes (a list of
    [x0, y0, x1, y1] in 0..1, empty if not given). Raises FileNotFoundError or ValueError, naming the item.
    """
    path = Path(path)
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: name the manifest with --manifest") from None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): correct it there") from None
    if type(entries) is not list:
        raise ValueError(f"{path} holds a {type(entries).__name__}: make it a JSON list of items")
    splits, seen = {"train": [], "test": []}, {}
    for number, entry in enumerate(entries, start=1):
        if type(entry) is not dict:
            raise ValueError(f"{path}, item number {number} is {entry!r:.80}: make it an object with an id")
        item_id = check_id(entry.get("id"), f"{path}, item number {number}")
        where, split = f"{path}, item '{item_id}'", entry.get("split")
        if not isinstance(split, str) or split not in splits:
            raise ValueError(f"{where}: split is {split!r:.80}, expected 'train' or 'test': correct it")
        name = clip_name(item_id)  # "a" and "a.jpg" are the same clip to the readers
        if name in seen:
            both = "train and test" if seen[name] != split else split
            raise ValueError(f"{where}: the id is there twice, in {both}: give each item its own")
        seen[name] = split
        splits[split].append(_check_item(entry, where, path.parent))
    if not splits["train"]:
        raise ValueError(f"{path} has no item with split 'train': add some, there is nothing to train on")
    return splits["train"], splits["test"]


def _check_item(entry, where, folder):
    """The dict of read_pairs for one entry. where: for messages; folder: the manifest's."""
    item = {"id": entry["id"], "class": entry.get("class") or "", "boxes": check_boxes(entry.get("boxes"), where)}
    if type(item["class"]) is not str:
        raise ValueError(f"{where}: class is {item['class']!r:.80}: make it a text, or leave it out")
    if entry["split"] == "test" and not item["boxes"]:
        raise ValueError(f"{where}: a test item needs boxes: add them, or move the item to 'train'")
    for kind in ("image", "audio"):
        name = entry.get(kind)
        if not isinstance(name, str) or not name:
            raise ValueError(f"{where}: {kind} is {name!r:.80}: name a file, relative to the manifest's folder")
        item[kind] = folder / name
        if not item[kind].is_file():
            raise FileNotFoundError(f"{where}: {item[kind]} is missing: put the file there, or take the item out")
    return item


def check_boxes(boxes: object, where: str) -> list[list[float]]:
    """Returns `boxes`, a list of [x0, y0, x1, y1] with 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1; None becomes [].

    Raises ValueError, beginning with `where`, for anything else.
    """
    boxes = [] if boxes is None else boxes
    if type(boxes) is not list:
        raise ValueError(f"{where}: boxes is {boxes!r:.80}: make it a list of [x0, y0, x1, y1]")
    for box in boxes:
        if not (isinstance(box, list) and len(box) == 4 and all(type(value) in (int, float) for value in box)):
            raise ValueError(f"{where}: box {box!r:.80} is not [x0, y0, x1, y1]: correct it")
        x0, y0, x1, y1 = box
        if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
            raise ValueError(f"{where}: box {box} is outside 0..1 or inverted: give parts of the width and height")
    return boxes


def load_pair(item: dict, with_mask: bool) -> dict:
    """One item of read_pairs -> its row, see make_row. Raises ValueError with the item's id."""
    try:
        return make_row(read_image(item["image"], upright=True), load_clip(item["audio"]), with_mask)
    except Exception as error:  # a decoder may raise anything
        raise ValueError(f"item '{item['id']}': {error}") from error


def write_split(folder: Path, items: list[dict], split: str, ids: Path, workers: int, **formats) -> None:
    """Writes the HDF5 files of one split of read_pairs into a folder, and their ids, one a line, in the rows' order."""
    kinds, suffix = (TRAIN_KINDS, "_custom") if split == "train" else (TEST_KINDS, "")
    rows = map_in_order(partial(load_pair, with_mask="masks" in kinds), items, workers)
    with RowWriter(array_paths(folder, split, kinds, suffix), split, **formats) as writer:
        for row in tqdm(rows, split, len(items), unit=" items"):
            writer.add(row)
    write_text(ids, "".join(f"{item['id']}\n" for item in items))


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Yields a folder to fill, `path` with .partial after its name; it is renamed to `path` when the block succeeds.

    Raises FileExistsError if either exists. After an error the folder is removed.
    """
    path = Path(path)
    partial_path = path.with_name(path.name + ".partial")
    if path.exists():
        raise FileExistsError(f"{path} is already there: move it away, or choose another folder with --out")
    try:
        partial_path.mkdir(parents=True)
    except FileExistsError:
        raise FileExistsError(
            f"{partial_path} belongs to a run that is still active or was killed: wait for it, or remove the folder"
        ) from None
    try:
        yield partial_path
        os.rename(partial_path, path)
    except BaseException:
        shutil.rmtree(partial_path, ignore_errors=True)
        raise


def prepare_pairs(manifest: str | Path, out: str | Path, workers: int, **formats) -> tuple[int, int]:
    """Turns a manifest into the folder out/Custom, as described at the top; without test items there is no labeled/.

    formats: frame_format and spect_format of RowWriter. Returns the numbers of training and test items. Raises
    FileExistsError if out/Custom exists, FileNotFoundError or ValueError as read_pairs and load_pair do.
    """
    train, test = read_pairs(manifest)
    with new_folder(Path(out) / "Custom") as folder:
        unlabeled, labeled = folder / "unlabeled", folder / "labeled"
        write_split(unlabeled, train, "train", unlabeled / "train_ids.csv", workers, **formats)
        if test:
            write_split(labeled / "Data", test, "test", folder / "custom_test.csv", workers, **formats)
            (labeled / "Annotations").mkdir()
            boxes = [{"file": item["id"], "class": item["class"], "bbox": item["boxes"]} for item in test]
            write_text(labeled / "Annotations" / "custom_test.json", json.dumps(boxes, indent=0))
    return len(train), len(test)
