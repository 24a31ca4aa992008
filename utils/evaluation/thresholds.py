"""The field's threshold rules, all in one pass: heat maps and ground truth in, consensus IoUs out.

The pixels of a map are counted once, by level and by ground truth value. Every rule then reads its result from these
counts, without sorting and without a mask for each threshold.
"""

import numpy as np

from dataset.benchmarks.annotations import GT_SIZE
from utils.evaluation.metrics import SUCCESS, own_areas

PIXELS = GT_SIZE * GT_SIZE
SWEEP = np.arange(1, 20) / 20  # thresholds 0.05, 0.1, ..., 0.95 of the min-max map
LEVELS = 1280  # a multiple of 20, so that every threshold lies between two levels

RULES = {
    "fixed0.5": "value >= 0.5",
    "fixed0.6": "value >= 0.6",
    "median": "the top half of the pixels; of tied ones, each in part",
    "adaptive": "as many pixels as the ground truth has (oracle area)",
    "sweep": "value >= that of 0.05, 0.1, ..., 0.95 with the best cIoU on this set (oracle threshold)",
}
# The columns of score_maps by rule. The sweep has one a threshold: the best is chosen once all items are scored.
COLUMNS = {
    "fixed0.5": slice(0, 1),
    "fixed0.6": slice(1, 2),
    "median": slice(2, 3),
    "adaptive": slice(3, 4),
    "sweep": slice(4, 4 + len(SWEEP)),
}
WIDTH = COLUMNS["sweep"].stop


class GroundTruth:
    """What the rules read of maps gt, (B, 224, 224) of 0, 0.5 (one annotator of two) and 1.

    code: (B, PIXELS) uint8, twice the map. counts: (B, 3) pixels of each code. total: (B,) the map's sum. area: (B,)
    pixels that the adaptive rule predicts: as many as are not 0, or half of all where there are none.
    """

    def __init__(self, gt: np.ndarray):
        self.code = (2 * gt).astype(np.uint8).reshape(len(gt), PIXELS)
        ones = np.count_nonzero(self.code == 2, axis=1)
        some = np.count_nonzero(self.code, axis=1)
        self.counts = np.stack([PIXELS - some, some - ones, ones], axis=1)
        self.total = ones + (some - ones) / 2
        self.area = np.where(some > 0, some, PIXELS // 2)

    def iou(self, taken: np.ndarray) -> np.ndarray:
        """Consensus IoU of regions by how many pixels of each code they hold: (B, k, 3) -> (B, k); 0 without boxes."""
        agreed = taken[..., 1] / 2 + taken[..., 2]
        total = self.total[:, None] + taken[..., 0]
        return np.divide(agreed, total, out=np.zeros_like(agreed), where=total > 0)


def score_maps(heat: np.ndarray, truth: GroundTruth) -> np.ndarray:
    """Consensus IoU and share of the image predicted, under every rule.

    heat: (B, 224, 224) float32 in [0, 1], min-max, or (1, 224, 224), one map for all; truth: their GroundTruth.
    Returns (B, 2, WIDTH) float32: [:, 0] the IoUs and [:, 1] the shares, in the COLUMNS of the rules.
    """
    heat = heat.reshape(len(heat), PIXELS)
    level = (heat * np.float32(LEVELS)).astype(np.uint16)
    heat, level = np.broadcast_arrays(heat, level, truth.code)[:2]
    # Map by map, so that the arrays fit into the processor's cache.
    cells = (3 * row + code for row, code in zip(level, truth.code, strict=True))
    held = np.stack([np.bincount(row, minlength=3 * (LEVELS + 1)) for row in cells]).reshape(len(heat), -1, 3)
    held = held[:, ::-1].cumsum(axis=1)[:, ::-1]  # pixels of each code at a level or above it
    halves = np.full(len(heat), PIXELS // 2)
    taken = np.empty((len(heat), WIDTH, 3))
    for rule, thresholds in (("fixed0.5", [0.5]), ("fixed0.6", [0.6]), ("sweep", SWEEP)):
        taken[:, COLUMNS[rule]] = held[:, np.round(np.multiply(thresholds, LEVELS)).astype(int)]
    for rule, areas in (("median", halves), ("adaptive", truth.area)):
        for i, area in enumerate(areas):
            taken[i, COLUMNS[rule]] = take_top(area, heat[i], level[i], truth.code[i], held[i])
    return as_scores(taken, truth)


def take_top(area: int, heat: np.ndarray, level: np.ndarray, code: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Pixels of each code among the `area` hottest ones: (3,). Pixels that tie for the last places count in part, so
    that the area is exact for every map, and no corner of the image is preferred.

    heat, level, code: (PIXELS,); held: (LEVELS + 1, 3), pixels of each code at a level or above.
    """
    # The level at the border of the region.
    last = np.searchsorted(-held.sum(axis=1), -area, side="right") - 1
    above = held[last + 1] if last < LEVELS else np.zeros(3)
    inside = np.flatnonzero(level == last)
    values, codes = heat[inside], code[inside]
    wanted = area - int(above.sum())
    if wanted == 0:
        return above
    border = np.partition(values, len(values) - wanted)[len(values) - wanted]
    hotter, tied = (np.bincount(codes[part], minlength=3) for part in (values > border, values == border))
    return above + hotter + tied * ((wanted - hotter.sum()) / tied.sum())


def as_scores(taken: np.ndarray, truth: GroundTruth) -> np.ndarray:
    """IoUs and shares of the image, (B, 2, k) float32, of regions that hold `taken` (B, k, 3) pixels of each code."""
    return np.stack([truth.iou(taken), taken.sum(axis=-1) / PIXELS], axis=1).astype(np.float32)


def choose(scores: np.ndarray, rule: str) -> tuple[np.ndarray, np.ndarray, float | None]:
    """Scores (n, 2, WIDTH) -> one rule's IoUs (n,), its shares (n,), and the sweep's threshold or None."""
    columns = scores[:, :, COLUMNS[rule]]
    if rule != "sweep":
        return *columns[:, :, 0].T, None
    success, area = (columns[:, 0] >= SUCCESS).mean(axis=0), own_areas(columns[:, 0]).mean(axis=0)
    best = np.lexsort((area, success))[-1]  # the best cIoU; among equals, the best AUC
    return *columns[:, :, best].T, float(SWEEP[best])
