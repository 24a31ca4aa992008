"""Your own material -> the HDF5 files that the readers read.

python -m dataset.prepare pairs --manifest FILE --out DATASETS

The manifest of `pairs` is a JSON list of objects, one a pair of an image and a sound:

    {"id": "dog_1", "split": "train", "image": "images/dog_1.jpg", "audio": "audio/dog_1.wav",
     "boxes": [[0.1, 0.2, 0.6, 0.9]], "class": "dog"}

split is "train" or "test"; image and audio are relative to the manifest's folder; boxes, x0 y0 x1 y1 as parts of the
image's width and height, are what sounds: test items must have them, training does not look at them; class is for
your own tables. What is written into DATASETS/Custom:

    unlabeled/h5py_train_{frames,audios,spects,masks}_custom.h5   unlabeled/train_ids.csv
    labeled/Data/h5py_test_{frames,audios,spects}.h5              labeled/Annotations/custom_test.json
    custom_test.csv                                               line i of a csv names row i of the arrays
"""

import argparse
import json
import os
import shutil
import signal
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dataset.annotations import check_id
from dataset.audio import SAMPLES, load_clip, log_mel_patches, scale
from dataset.hdf5 import hdf5_writer
from dataset.regions import felzenszwalb_regions
from dataset.transforms import read_image, resize

SIDE = 256  # pixels, of a stored frame

ROWS = {  # what one item becomes: shape, type, HDF5 options
    "frames": ((SIDE, SIDE, 3), np.uint8, {}),
    "audios": ((SAMPLES,), np.float32, {}),
    "spects": ((3, 96, 64), np.float32, {}),
    "masks": ((SIDE, SIDE), np.uint8, {"compression": "gzip", "compression_opts": 1}),  # 65 kB -> about 1
}


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
    """One item of read_manifest -> its row of each array: a dict of frames, audios, spects and, if asked, masks.

    Shapes and types as in ROWS; audios are scaled. Raises ValueError with the item's id for what cannot be read.
    """
    try:
        frame = resize(read_image(item["image"], upright=True), SIDE)
        audio = scale(load_clip(item["audio"]))
        row = {"frames": frame, "audios": audio, "spects": log_mel_patches(audio)}
        if not np.isfinite(row["spects"]).all():
            raise ValueError(f"{item['audio']} holds numbers that are not finite: replace the file")
    except Exception as error:  # whatever a decoder throws, what helps is to know which item
        raise ValueError(f"item '{item['id']}': {error}") from error
    return row | {"masks": felzenszwalb_regions(frame)} if with_mask else row


def map_in_order(function, items, workers):
    """Yields function(item) for each item, in order, from `workers` processes (0: in this one).

    Only a few items a worker are under way at any time, so that memory does not grow with the number of items.
    """
    if workers == 0:
        yield from map(function, items)
        return
    # A fresh interpreter each: a forked one would share OpenCV's threads and the open HDF5 files.
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker) as pool:
        under_way = deque()
        for item in items:
            under_way.append(pool.submit(function, item))
            if len(under_way) == 4 * workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _start_worker():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to handle


def write_rows(rows, count, kinds, folder, split, suffix=""):
    """Writes `count` rows, an iterable of dicts by kind (keys of ROWS), to one HDF5 file a kind.

    The files are folder/h5py_<split>_<kind><suffix>.h5, the dataset in each is <split>_<kind>.
    """
    with ExitStack() as files:
        arrays = {}
        for kind in kinds:
            shape, dtype, options = ROWS[kind]
            name = f"{split}_{kind}"
            writer = hdf5_writer(Path(folder) / f"h5py_{name}{suffix}.h5", name, shape, dtype, count, **options)
            arrays[kind] = files.enter_context(writer)
        for index, row in enumerate(tqdm(rows, split, count, unit=" items")):
            for kind, array in arrays.items():
                array[index] = row[kind]


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


def prepare_pairs(manifest, out, workers):
    """Turns a `pairs` manifest (file) into the folder out/Custom, as the top of this file shows; a set without test
    items gets no labeled/ part. Returns the numbers of training and test items.

    Raises FileExistsError if out/Custom is there, FileNotFoundError or ValueError for what read_manifest and
    load_pair refuse.
    """
    train, test = read_manifest(manifest)
    with new_folder(Path(out) / "Custom") as folder:
        rows = map_in_order(partial(load_pair, with_mask=True), train, workers)
        write_rows(rows, len(train), list(ROWS), folder / "unlabeled", "train", "_custom")
        write_ids(folder / "unlabeled" / "train_ids.csv", train)
        if test:
            rows = map_in_order(partial(load_pair, with_mask=False), test, workers)
            kinds = [kind for kind in ROWS if kind != "masks"]
            write_rows(rows, len(test), kinds, folder / "labeled" / "Data", "test")
            write_boxes(folder / "labeled" / "Annotations" / "custom_test.json", test)
            write_ids(folder / "custom_test.csv", test)
    return len(train), len(test)


def _pairs_command(args):
    train, test = prepare_pairs(args.manifest, args.out, args.workers)
    print(f"{Path(args.out) / 'Custom'}: {train} training items, {test} test items")


def _worker_count(text):
    """argparse's type of --workers: an int from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0")
    return int(text)


def parse_arguments(arguments=None):
    """The command line; `arguments` as in sys.argv[1:]. The namespace's `run` is the subcommand's function."""
    parser = argparse.ArgumentParser(prog="python -m dataset.prepare", description="Write the HDF5 files to train on.")
    commands = parser.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--out", required=True, metavar="DATASETS", help="the data_path of training: gets a folder")
    shared.add_argument("--workers", type=_worker_count, default=os.cpu_count(), help="processes; 0: only this one")
    pairs = commands.add_parser("pairs", parents=[shared], help="images with sounds, listed in a JSON file")
    pairs.add_argument("--manifest", required=True, metavar="FILE", help="JSON list: id, split, image, audio, boxes")
    pairs.set_defaults(run=_pairs_command)
    return parser.parse_args(arguments)


def main(arguments=None):
    args = parse_arguments(arguments)
    try:
        args.run(args)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from None
    except BrokenProcessPool:
        raise SystemExit("a worker process was killed, probably for lack of memory: use fewer --workers") from None
    except KeyboardInterrupt:
        raise SystemExit("stopped: nothing was kept") from None


if __name__ == "__main__":
    main()
