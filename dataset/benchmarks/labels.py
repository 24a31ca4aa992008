"""Which items a benchmark has and what is true of each, without its frames and sounds: one class a kind of list."""

from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np

from dataset.benchmarks.annotations import (
    GT_SIZE,
    flickr_boxes,
    flickr_map,
    listed_boxes,
    read_ids,
    silent_pairs,
    vggss_boxes,
    vggss_map,
)
from dataset.benchmarks.ids import clip_name


class Labels:
    """What the benchmarks share.

    ids: of the items; images, sounds: the id of the frame and of the sound of each (the item's own, but where pairs
    are listed); lists: the files that say so. classes: the class of each item, silent: the classes of what is seen but
    not heard in it, sounding: whether anything seen in it sounds, groups: the image of which it is one of several
    sounding things, videos: the video of which it is a frame; each None where the benchmark does not tell.
    """

    classes = silent = sounding = groups = videos = None

    def __init__(self, ids, lists):
        self.ids, self.lists = ids, [Path(path) for path in lists]
        self.images = self.sounds = ids

    def __len__(self):
        return len(self.ids)

    def gt_map(self, index):
        """Ground truth of an item: (224, 224) float32 in [0, 1]."""
        raise NotImplementedError

    def annotation(self, index):
        """The file that holds an item's ground truth alone, None where the lists hold everybody's."""


class FlickrLabels(Labels):
    """Flickr-SoundNet: a list of ids (or of jpg files), and a folder of XML files with the boxes of annotators."""

    def __init__(self, id_list, annotations):
        super().__init__([clip_name(item_id) for item_id in read_ids(id_list)], [id_list])
        self.annotations = Path(annotations)

    def gt_map(self, index):
        return flickr_map(flickr_boxes(self.annotation(index)))

    def annotation(self, index):
        return self.annotations / f"{self.images[index]}.xml"


class FlickrValidation(FlickrLabels):
    """Annotated Flickr-SoundNet clips that are not in the test list: `count` of them, drawn by a seed.

    Each clip's place in the draw depends on its id only, so that few clips change where few files are missing. Raises
    ValueError where there are not enough.
    """

    ALSO_TESTED = "3908875350"  # in the list of 250, not in that of 249

    def __init__(self, annotations, test_list, count=250, seed=0):
        super().__init__(test_list, annotations)
        tested = {*self.ids, self.ALSO_TESTED}
        others = [path.stem for path in self.annotations.glob("*.xml") if path.stem not in tested]
        if len(others) < count:
            raise ValueError(
                f"{annotations} has {len(others)} clips beside the test list, {count} are needed: add some"
            )
        drawn = sorted(others, key=lambda item_id: sha256(f"{seed} {item_id}".encode()).digest())[:count]
        self.ids = self.images = self.sounds = sorted(drawn)


class VGGSSLabels(Labels):
    """VGG-SS and lists of its format: a list of ids, and a JSON file with the boxes and classes of these clips."""

    def __init__(self, id_list, annotations):
        self.annotations = vggss_boxes(annotations)
        ids = read_ids(id_list)
        known = [item_id if item_id in self.annotations else clip_name(item_id) for item_id in ids]
        super().__init__(known, [id_list, annotations])
        unknown = [item_id for item_id in self.ids if item_id not in self.annotations]
        if unknown:
            raise ValueError(f"{annotations} has no boxes for {unknown[0]} ({len(unknown)} in all) of {id_list}")
        items = [self.annotations[item_id] for item_id in self.ids]
        if all("class" in item for item in items):
            self.classes = [item["class"] for item in items]
        if all(item.get("silent") for item in items):
            self.silent = [item["silent"] for item in items]

    def gt_map(self, index):
        return vggss_map(self.annotations[self.images[index]]["bbox"])


class ListedLabels(Labels):
    """IS3, VPO and AVSBench: a JSON file that names image, sound and box of each item.

    several: names are <image>_<thing>, one of several things that sound in an image. frames: images are frames of a
    video, which the sound is named after. classes: "thing" or "topic", where that is the class. masks: a folder of PNG
    files that take the place of the boxes (AVSBench's own ground truth).
    """

    def __init__(self, boxes, several=False, frames=False, classes=None, masks=None):
        items = listed_boxes(boxes)
        super().__init__([item["image"] for item in items], [boxes])
        self.sounds = [item["audio"] for item in items]
        self.boxes = [item["box"] for item in items]
        if several:
            self.groups = [item_id.rpartition("_")[0] for item_id in self.ids]
        if frames:
            self.videos = self.sounds
        if classes:
            self.classes = [item["topic"] if classes == "topic" else item["image"].rpartition("_")[2] for item in items]
        self.masks_folder = masks and Path(masks)
        self.masks = {path.stem: path for path in self.masks_folder.rglob("*.png")} if masks else {}

    def gt_map(self, index):
        if not self.masks:
            return vggss_map([self.boxes[index]], side=GT_SIZE)
        path = self.annotation(index)
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: complete the masks, or move their folder away")
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if mask is None:
            raise ValueError(f"{path} cannot be read as an image: replace the file")
        marked = (mask.reshape(*mask.shape[:2], -1)[..., :3] > 0).any(axis=-1)  # without a possible alpha channel
        return cv2.resize(marked.astype(np.float32), (GT_SIZE, GT_SIZE), interpolation=cv2.INTER_NEAREST)

    def annotation(self, index):
        if not self.masks:
            return None
        name = self.ids[index].replace(".mp4", "")  # AVSBench's multi-source frames are <video>.mp4_<n>.png
        return self.masks.get(name, self.masks_folder / f"{name}.png")


class ExtendedLabels(Labels):
    """A benchmark's items and, after them, pairs of a frame and a sound of which nothing in the frame makes the sound.

    labels: of the benchmark; pairs: a *_plus_silent.csv. Such a pair's id is <video>+<audio>.
    """

    def __init__(self, labels, pairs):
        silent = silent_pairs(pairs)
        super().__init__([*labels.ids, *(f"{video}+{audio}" for video, audio in silent)], [*labels.lists, pairs])
        self.labels = labels
        self.images = [*labels.images, *(video for video, _ in silent)]
        self.sounds = [*labels.sounds, *(audio for _, audio in silent)]
        self.sounding = [True] * len(labels) + [False] * len(silent)

    def gt_map(self, index):
        return self.labels.gt_map(index) if self.sounding[index] else vggss_map([])

    def annotation(self, index):
        return self.labels.annotation(index) if self.sounding[index] else None
