"""Which items a benchmark has and what is known of each, without frames and sounds: one class a format of lists."""

from collections.abc import Sequence
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
from dataset.media.files import files_by_stem, the_file


class BenchmarkIndex:
    """The items of a benchmark and their ground truth.

    ids: one an item. images, sounds: names of each item's frame and sound; the item's id, except where the list pairs
    them. lists: the files that define the benchmark.
    The following have one entry an item, or are None where the benchmark does not say. classes: the item's class (None
    for a silent pair). silent: classes that are visible but do not sound. sounding: whether anything visible sounds.
    groups: the image, of several sounding objects in one. videos: the video that the frame is from.
    """

    classes = silent = sounding = groups = videos = None

    def __init__(self, ids: Sequence[str], lists: Sequence[str | Path]):
        self.ids, self.lists = ids, [Path(path) for path in lists]
        self.images = self.sounds = ids

    def __len__(self) -> int:
        return len(self.ids)

    def gt_map(self, index: int) -> np.ndarray:
        """Ground truth of an item: (224, 224) float32 in [0, 1]."""
        raise NotImplementedError

    def annotation(self, index: int) -> Path | None:
        """The file with the ground truth of this item only, None where the lists hold it."""


class FlickrIndex(BenchmarkIndex):
    """Flickr-SoundNet: a list of ids (or of jpg files), and a folder of XML files with the annotators' boxes."""

    def __init__(self, id_list: str | Path, annotations: str | Path):
        super().__init__([clip_name(item_id) for item_id in read_ids(id_list)], [id_list])
        self.annotations = Path(annotations)

    def gt_map(self, index: int) -> np.ndarray:
        return flickr_map(flickr_boxes(self.annotation(index)))

    def annotation(self, index: int) -> Path:
        return self.annotations / f"{self.images[index]}.xml"


class FlickrValidationIndex(FlickrIndex):
    """Annotated Flickr-SoundNet clips that are not in the test list: `count` of them, drawn by a seed.

    Each clip's place in the draw depends on its id only: where a few files are missing, few clips change. Raises
    ValueError where there are not enough.
    """

    ALSO_TESTED = "3908875350"  # in the list of 250, not in that of 249

    def __init__(self, test_list: str | Path, annotations: str | Path, count: int = 250, seed: int = 0):
        super().__init__(test_list, annotations)
        tested = {*self.ids, self.ALSO_TESTED}
        others = [path.stem for path in self.annotations.glob("*.xml") if path.stem not in tested]
        if len(others) < count:
            raise ValueError(
                f"{annotations} has {len(others)} clips beside the test list, {count} are needed: add some"
            )
        drawn = sorted(others, key=lambda item_id: sha256(f"{seed} {item_id}".encode()).digest())[:count]
        self.ids = self.images = self.sounds = sorted(drawn)


class VGGSSIndex(BenchmarkIndex):
    """VGG-SS and lists of its format: a list of ids, and a JSON file with boxes and classes."""

    def __init__(self, id_list: str | Path, annotations: str | Path):
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

    def gt_map(self, index: int) -> np.ndarray:
        return vggss_map(self.annotations[self.images[index]]["bbox"])


class JSONIndex(BenchmarkIndex):
    """IS3, VPO and AVSBench: a JSON file with the image, sound and box of each item.

    Args:
        boxes: the JSON file.
        several: images have several sounding objects, and ids are <image>_<object>.
        frames: images are frames of a video, which the sound is named after.
        classes: "object" or "topic", the part of the name that is the class.
        masks: a folder of PNG files to be used as ground truth instead of the boxes (AVSBench's own).
    """

    def __init__(
        self,
        boxes: str | Path,
        several: bool = False,
        frames: bool = False,
        classes: str | None = None,
        masks: Path | None = None,
    ):
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
        self.masks_folder, self.masks = masks, files_by_stem(masks, ".png") if masks else {}

    def gt_map(self, index: int) -> np.ndarray:
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

    def annotation(self, index: int) -> Path | None:
        if not self.masks:
            return None
        name = self.ids[index].replace(".mp4", "")  # AVSBench's multi-source frames are <video>.mp4_<n>.png
        return the_file(self.masks, name) or self.masks_folder / f"{name}.png"


class ExtendedIndex(BenchmarkIndex):
    """A benchmark's items, followed by silent pairs: frames with a sound that nothing visible makes.

    benchmark: to be extended. pairs: a *_plus_silent.csv. The id of a pair is <video>+<audio>, its class None.
    """

    def __init__(self, benchmark: BenchmarkIndex, pairs: str | Path):
        silent = silent_pairs(pairs)
        super().__init__([*benchmark.ids, *(f"{video}+{audio}" for video, audio in silent)], [*benchmark.lists, pairs])
        self.benchmark = benchmark
        self.images = [*benchmark.images, *(video for video, _ in silent)]
        self.sounds = [*benchmark.sounds, *(audio for _, audio in silent)]
        self.sounding = [True] * len(benchmark) + [False] * len(silent)
        if benchmark.classes:
            self.classes = [*benchmark.classes, *[None] * len(silent)]

    def gt_map(self, index: int) -> np.ndarray:
        return self.benchmark.gt_map(index) if self.sounding[index] else vggss_map([])

    def annotation(self, index: int) -> Path | None:
        return self.benchmark.annotation(index) if self.sounding[index] else None
