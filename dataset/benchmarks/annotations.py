"""What a data set says about its items: their ids and the boxes of what sounds."""

import csv
import json
import re
import warnings
import xml.etree.ElementTree as ElementTree
from pathlib import Path, PurePosixPath

import numpy as np

GT_SIZE = 224  # side of the ground-truth maps, in pixels, whatever size the network sees
FLICKR_FRAME = 256  # side of the frames in which Flickr-SoundNet's boxes are given
FLICKR_ANNOTATORS = 2  # so many have to agree for full weight


def read_ids(path):
    """Ids of a list file, in its order: the first column of each line (further ones are of other programs).

    Raises FileNotFoundError, or ValueError for an empty list, an unsafe id, or an id that stands there twice.
    """
    path = _at_hand(path, "bring the lists with python -m metadata.download")
    ids = [check_id(line.split(",")[0].strip(), path) for line in path.read_text().splitlines() if line.strip()]
    if not ids:
        raise ValueError(f"{path} holds no id: bring the lists with python -m metadata.download")
    if len(set(ids)) < len(ids):
        twice = next(item_id for item_id in ids if ids.count(item_id) > 1)
        raise ValueError(f"{path} names {twice} twice: remove one")
    return ids


def check_id(item_id, where):
    """Returns `item_id` if it is safe as a file's name and as one line of an id list.

    item_id: what a list or manifest gives; where: that list, for the message. Ids name files, so they must not lead
    out of their folder. Raises ValueError for anything but a non-empty str, for path separators, '..', a colon (a
    drive on Windows), commas and double quotes (CSV), unprintable characters, and blanks at either end.
    """
    safe = (
        isinstance(item_id, str)
        and item_id not in ("", ".")
        and item_id.isprintable()
        and item_id == item_id.strip()
        and not re.search(r'[/\\:,"]|\.\.', item_id)
    )
    if not safe:
        raise ValueError(f"{where}: {item_id!r:.200} cannot be an id: use letters, digits, '_', '-' and single dots")
    return item_id


def flickr_boxes(path):
    """Boxes of one XML file of Flickr-SoundNet: a list of (xmin, ymin, xmax, ymax), one an annotator, in pixels of a
    256-pixel frame.

    Each child of the root is one annotator's object; the first child of its bbox is not a coordinate. An object
    without bbox is skipped with a warning. Raises FileNotFoundError or ValueError naming the file.
    """
    path = _at_hand(path, "put the annotation there, or take its id off the test list")
    try:
        root = ElementTree.parse(path).getroot()
        boxes = []
        for item in root:
            box = item.find("bbox")
            if box is None:
                warnings.warn(f"{path}: an object without bbox is skipped", stacklevel=2)
                continue
            xmin, ymin, xmax, ymax = (float(child.text) for child in box[1:5])
            boxes.append((xmin, ymin, xmax, ymax))
    except (ElementTree.ParseError, ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as an annotation ({error}): replace the file") from None
    return boxes


def vggss_boxes(path):
    """Annotations of a VGG-SS JSON file: {id: {"bbox": [[x0, y0, x1, y1], ...] in 0..1, "class": str, ...}}.

    Raises FileNotFoundError or ValueError naming the file.
    """
    path = _at_hand(path, "bring it with python -m metadata.download")
    try:
        return {item["file"]: item for item in json.loads(path.read_text())}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as a list of annotations ({error!r}): bring it again") from None


def listed_boxes(path):
    """Items of a JSON list of IS3, VPO or AVSBench: dicts of image and audio (names of files, without suffix), topic
    (str) and box [x0, y0, x1, y1] in pixels of a 224-pixel frame.

    The lists give paths on their authors' machine. Of these only the files' names are used, and as topic the name of
    the folder that holds the image's folder: in AVSBench's single-source set, the class. Raises FileNotFoundError or
    ValueError naming the file.
    """
    path = _at_hand(path, "bring it with python -m metadata.download")
    try:
        items = []
        for item in json.loads(path.read_text()):
            image, audio = PurePosixPath(item["image"]), PurePosixPath(item["audio"])
            names = {"image": check_id(image.stem, path), "audio": check_id(audio.stem, path)}
            box = [float(value) for value in item["gt_box"]]
            if len(box) != 4:
                raise ValueError(f"a box of {len(box)} numbers")
            items.append({**names, "topic": image.parent.parent.name, "box": box})
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as a list of boxes ({error!r}): bring it again") from None
    return items


def silent_pairs(path):
    """Pairs of a *_plus_silent.csv (SLAVC's extended sets) in which nothing that is seen sounds: [(video, audio), ...].

    Raises FileNotFoundError or ValueError naming the file.
    """
    path = _at_hand(path, "bring it with python -m metadata.download")
    rows = [row for row in csv.reader(path.read_text().splitlines()) if row[2:3] == ["non-sounding"]]
    if not rows:
        raise ValueError(f"{path} has no line that ends in non-sounding: bring it again")
    return [(check_id(row[0], path), check_id(row[1], path)) for row in rows]


def _at_hand(path, advice):
    """The Path, if there is a file; else a FileNotFoundError with advice."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: {advice}")
    return path


def flickr_map(boxes):
    """Consensus of annotators' boxes in a 256-pixel frame: (224, 224) float32 of 0, 0.5 (one annotator) and 1."""
    return np.minimum(draw_boxes(boxes, FLICKR_FRAME) / FLICKR_ANNOTATORS, 1)


def vggss_map(boxes, side=1):
    """Union of boxes in 0..side: (224, 224) float32 of 0 and 1. Inverted boxes, of which VGG-SS has 18, are empty."""
    return np.minimum(draw_boxes(boxes, side), 1)


def draw_boxes(boxes, side=1):
    """How many boxes cover each pixel: boxes (x0, y0, x1, y1) in 0..side -> (224, 224) float32.

    Coordinates are cut to whole pixels (as published; rounding would move VGG-SS's cIoU by 0.15 points), the last
    row and column of a box not included; what lies outside the frame is cut off.
    """
    counts = np.zeros((GT_SIZE, GT_SIZE), np.float32)
    for box in boxes:
        left, top, right, bottom = (int(GT_SIZE * max(value, 0) / side) for value in box)
        counts[top:bottom, left:right] += 1
    return counts
