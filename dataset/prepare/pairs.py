"""Images with sounds of your own: python -m dataset.prepare pairs --manifest FILE --out DATASETS

The manifest is a JSON list of objects, one a pair of an image and a sound:

    {"id": "dog_1", "split": "train", "image": "images/dog_1.jpg", "audio": "audio/dog_1.wav",
     "boxes": [[0.1, 0.2, 0.6, 0.9]], "class": "dog"}

split is "train" or "test"; image and audio are relative to the manifest's folder; boxes, x0 y0 x1 y1 as parts of the
image's width and height, are what sounds: test items must have them, training does not look at them; class is for
your own tables. What is written into DATASETS/Custom:

    unlabeled/h5py_train_{frames,audios,spects,masks}_custom.h5   unlabeled/train_ids.csv
    labeled/Data/h5py_test_{frames,audios,spects}.h5              labeled/Annotations/custom_test.json
    custom_test.csv                                               line i of a csv names row i of the arrays
"""

import json
import os
import shutil
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tqdm import tqdm

from dataset.benchmarks.annotations import check_id
from dataset.media.audio import load_clip
from dataset.media.image import read_image
from dataset.prepare.rows import TEST_KINDS, TRAIN_KINDS, RowWriter, array_paths, make_row
from dataset.storage.parallel import map_in_order


def read_manifest(path):
    """The items of a `pairs` manifest (see above), checked: (train, test), lists of dicts in the manifest's order.

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
        if item_id in seen:
            both = "train and test" if seen[item_id] != split else split
            raise ValueError(f"{where}: the id is there twice, in {both}: give each item its own")
        seen[item_id] = split
        splits[split].append(_check_item(entry, where, path.parent))
    if not splits["train"]:
        raise ValueError(f"{path} has no item with split 'train': add some, there is nothing to train on")
    return splits["train"], splits["test"]


def _check_item(entry, where, folder):
    """The dict that read_manifest describes, of one entry; where: for messages, folder: the manifest's."""
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


def check_boxes(boxes, where):
    """Returns a list of [x0, y0, x1, y1] with 0 <= x0 < x1 <= 1, and y likewise; None becomes [].

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


def load_pair(item, with_mask):
    """One item of read_manifest -> its row, see make_row. Raises ValueError with the item's id."""
    try:
        return make_row(read_image(item["image"], upright=True), load_clip(item["audio"]), with_mask)
    except Exception as error:  # whatever a decoder throws, what helps is to know which item
        raise ValueError(f"item '{item['id']}': {error}") from error


def write_rows(rows, count, writer):
    """Adds `count` rows to a RowWriter, under a progress bar, and completes its files."""
    with writer:
        for row in tqdm(rows, writer.split, count, unit=" items"):
            writer.add(row)


def write_ids(path, items):
    """One id a line, in the order of the arrays' rows."""
    path.write_text("".join(f"{item['id']}\n" for item in items), encoding="utf-8")


def write_boxes(path, items):
    """The items' boxes as VGG-SS has them: a JSON list of {"file": id, "class": str, "bbox": [[x0, y0, x1, y1]]}."""
    boxes = [{"file": item["id"], "class": item["class"], "bbox": item["boxes"]} for item in items]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(boxes, indent=0), encoding="utf-8")


@contextmanager
def new_folder(path):
    """Yields a folder to fill, `path` with .partial behind its name; it becomes `path` only when all went well.

    Raises FileExistsError if either is there; what a failed run has written is removed.
    """
    path = Path(path)
    partial_path = path.with_name(path.name + ".partial")
    if path.exists():
        raise FileExistsError(f"{path} is already there: move it away, or choose another folder with --out")
    try:
        partial_path.mkdir(parents=True)
    except FileExistsError:
        raise FileExistsError(
            f"{partial_path} is there, of a run that still works or was killed: wait for it, or remove the folder"
        ) from None
    try:
        yield partial_path
        os.rename(partial_path, path)
    except BaseException:
        shutil.rmtree(partial_path, ignore_errors=True)
        raise


def prepare_pairs(manifest, out, workers, **storage):
    """Turns a `pairs` manifest (file) into the folder out/Custom, as the top of this file shows; a set without test
    items gets no labeled/ part. storage: formats for RowWriter. Returns the numbers of training and test items.

    Raises FileExistsError if out/Custom is there, FileNotFoundError or ValueError for what read_manifest and
    load_pair refuse.
    """
    train, test = read_manifest(manifest)
    with new_folder(Path(out) / "Custom") as folder:
        rows = map_in_order(partial(load_pair, with_mask=True), train, workers)
        paths = array_paths(folder / "unlabeled", "train", TRAIN_KINDS, "_custom")
        write_rows(rows, len(train), RowWriter(paths, "train", **storage))
        write_ids(folder / "unlabeled" / "train_ids.csv", train)
        if test:
            rows = map_in_order(partial(load_pair, with_mask=False), test, workers)
            paths = array_paths(folder / "labeled" / "Data", "test", TEST_KINDS)
            write_rows(rows, len(test), RowWriter(paths, "test", **storage))
            write_boxes(folder / "labeled" / "Annotations" / "custom_test.json", test)
            write_ids(folder / "custom_test.csv", test)
    return len(train), len(test)
