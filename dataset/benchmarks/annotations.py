"""Readers of the benchmarks' lists: ids, boxes of sounding objects, silent pairs; and ground-truth maps of boxes."""

import csv
import json
import re
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from dataset.benchmarks.ids import clip_name

GT_SIZE = 224  # side of the ground-truth maps in pixels, for any image size
FLICKR_FRAME = 256  # side of the frames to which Flickr-SoundNet's boxes refer
FLICKR_ANNOTATORS = 2  # that have to agree for full weight


def read_ids(path: str | Path) -> list[str]:
    """Ids of a list file, in its order: the first column of each line. Further columns are not read.

    Raises FileNotFoundError, or ValueError for an empty list, an unsafe id, or a clip that is listed twice (with and
    without a suffix is the same clip).
    """
    path = _require_file(path, "fetch the lists with python -m metadata.download")
    ids = [check_id(line.split(",")[0].strip(), path) for line in path.read_text().splitlines() if line.strip()]
    if not ids:
        raise ValueError(f"{path} holds no id: fetch the lists with python -m metadata.download")
    require_unique(map(clip_name, ids), path)
    return ids


def require_unique(names: Iterable[str], path: str | Path) -> None:
    """Raises ValueError naming the first of the names that is there twice. path: of their list, for the message."""
    seen = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{path} names {name} twice: remove one")
        seen.add(name)


def check_id(item_id: object, where: str | Path) -> str:
    """Returns `item_id` if it is safe as the name of a file and as a line of an id list.

    Ids name files and must not lead out of their folder. Raises ValueError for anything but a non-empty str, and for
    path separators, '..', colons (drives on Windows), commas and double quotes (CSV), unprintable characters, and
    white space at either end. where: the list that has the id, for the message.
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


def flickr_boxes(path: str | Path) -> list[tuple[float, float, float, float]]:
    """Boxes of one XML file of Flickr-SoundNet: (xmin, ymin, xmax, ymax), one an annotator, in pixels of a 256-pixel
    frame.

    Each child of the root is one annotator's object; the first child of its bbox is not a coordinate. An object
    without bbox is skipped with a warning. Raises FileNotFoundError or ValueError naming the file.
    """
    path = _require_file(path, "put the annotation there, or remove its id from the test list")
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


def vggss_boxes(path: str | Path) -> dict[str, dict]:
    """Annotations of a VGG-SS JSON file: {id: {"bbox": [[x0, y0, x1, y1], ...] in 0..1, "class": str, ...}}.

    Raises FileNotFoundError or ValueError naming the file.
    """
    path = _require_file(path, "fetch it with python -m metadata.download")
    try:
        items = [(item["file"], item) for item in json.loads(path.read_text())]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as a list of annotations ({error!r}): fetch it again") from None
    require_unique((name for name, _ in items), path)
    return dict(items)


def listed_boxes(path: str | Path) -> list[dict]:
    """Items of a JSON list of IS3, VPO or AVSBench: dicts of image and audio (file names without suffix), topic (str)
    and box [x0, y0, x1, y1] in pixels of a 224-pixel frame.

    The lists give paths on their authors' machine. Only the names of the files are used, and as topic the name of the
    folder that holds the image's folder: the class, in AVSBench's single-source set. Raises FileNotFoundError or
    ValueError naming the file.
    """
    path = _require_file(path, "fetch it with python -m metadata.download")
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
        raise ValueError(f"{path} cannot be read as a list of boxes ({error!r}): fetch it again") from None
    require_unique((item["image"] for item in items), path)
    return items


def silent_pairs(path: str | Path) -> list[tuple[str, str]]:
    """Pairs (video, audio) of a *_plus_silent.csv (SLAVC's extended sets) in which nothing visible sounds.

    Raises FileNotFoundError or ValueError naming the file.
    """
    path = _require_file(path, "fetch it with python -m metadata.download")
    rows = [row for row in csv.reader(path.read_text().splitlines()) if row[2:3] == ["non-sounding"]]
    if not rows:
        raise ValueError(f"{path} has no line that ends in non-sounding: fetch it again")
    return [(check_id(row[0], path), check_id(row[1], path)) for row in rows]


def _require_file(path, advice):
    """The Path of a file; FileNotFoundError with advice where there is none."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: {advice}")
    return path


def flickr_map(boxes: Sequence) -> np.ndarray:
    """Consensus of annotators' boxes in a 256-pixel frame: (224, 224) float32 of 0, 0.5 (one annotator) and 1."""
    return np.minimum(draw_boxes(boxes, FLICKR_FRAME) / FLICKR_ANNOTATORS, 1)


def vggss_map(boxes: Sequence, side: float = 1) -> np.ndarray:
    """Union of boxes in 0..side: (224, 224) float32 of 0 and 1. Inverted boxes (VGG-SS has 18) are empty."""
    return np.minimum(draw_boxes(boxes, side), 1)


def draw_boxes(boxes: Sequence, side: float = 1) -> np.ndarray:
    """How many boxes cover each pixel: boxes (x0, y0, x1, y1) in 0..side -> (224, 224) float32.

    Coordinates are truncated to whole pixels (as published; rounding would change VGG-SS's cIoU by 0.15 points). The
    last row and column of a box are not included. Parts outside the frame are cut off.
    """
    counts = np.zeros((GT_SIZE, GT_SIZE), np.float32)
    for box in boxes:
        left, top, right, bottom = (int(GT_SIZE * max(value, 0) / side) for value in box)
        counts[top:bottom, left:right] += 1
    return counts
