"""Predictions without any model, scored under the same rules: the floor, and the ceiling, of every table."""

import numpy as np

from dataset.benchmarks.annotations import GT_SIZE
from utils.evaluation.metrics import min_max
from utils.evaluation.thresholds import COLUMNS, PIXELS, SWEEP, WIDTH, as_scores

AUDIO_FREE = ("whole_image", "centred_square", "centred_disc", "centred_gaussian")  # know neither image nor sound
ORACLE = "oracle"  # knows the ground truth: the best that the rule allows
SIGMA = 80  # pixels, of the Gaussian

ADAPTIVE = COLUMNS["adaptive"].start
_offset = np.arange(GT_SIZE) - (GT_SIZE - 1) / 2


def gaussian_map(sigma):
    """A Gaussian of `sigma` pixels in the middle: (224, 224) in [0, 1], min-max."""
    return min_max(np.exp((np.square(_offset)[:, None] + np.square(_offset)) / (-2 * sigma**2)))


class Nested:
    """Regions that grow from the centre ring by ring, the same in every image.

    distance: (224, 224), equal in a ring. whole: rings are taken whole, by the nearest area (a square is a box, of
    whole pixels); else the outermost one in part, as in rules.take_top.
    """

    def __init__(self, distance, whole):
        self.order = np.argsort(distance, axis=None, kind="stable")
        self.ends = np.append(0, np.cumsum(np.unique(distance, return_counts=True)[1]))  # areas of 0, 1, 2, ... rings
        self.whole = whole

    def held(self, truth):
        """Pixels of each code in the innermost 0, 1, 2, ... rings: (B, rings + 1, 3)."""
        code = np.take(truth.code, self.order, axis=1)
        twice, some = (np.add.reduceat(part, self.ends[:-1], axis=1, dtype=np.int32) for part in (code, code > 0))
        held = np.zeros((len(code), len(self.ends), 3))
        np.cumsum(
            np.stack([np.diff(self.ends) - some, 2 * some - twice, twice - some], axis=-1), axis=1, out=held[:, 1:]
        )
        return held

    def take(self, areas, held):
        """Pixels of each code in the regions of these areas, (B, k) pixels -> (B, k, 3)."""
        ring = np.clip(np.searchsorted(self.ends, areas), 1, None)
        part = (areas - self.ends[ring - 1]) / np.diff(self.ends)[ring - 1]
        part = (part.round() if self.whole else part)[..., None]
        rows = np.arange(len(held))[:, None]
        return (1 - part) * held[rows, ring - 1] + part * held[rows, ring]


NESTED = {
    "centred_square": Nested(np.maximum(np.abs(_offset)[:, None], np.abs(_offset)), whole=True),
    "centred_disc": Nested(np.square(_offset)[:, None] + np.square(_offset), whole=False),
}


def areas_of_half():
    """Pixels that a centred region predicts, by column: half of the image wherever the rule does not say (a region of
    yes and no passes every fixed threshold unchanged), 5 % ... 95 % in the sweep. The adaptive column is filled later.
    """
    areas = np.full(WIDTH, PIXELS // 2)
    areas[COLUMNS["sweep"]] = np.round(SWEEP * PIXELS).astype(int)
    return areas


def areas_of_gaussian(sigma):
    """The same for a heat map that is a Gaussian."""
    areas, heat = areas_of_half(), gaussian_map(sigma)
    for rule, thresholds in (("fixed0.5", [0.5]), ("fixed0.6", [0.6]), ("sweep", SWEEP)):
        areas[COLUMNS[rule]] = [np.count_nonzero(heat >= threshold) for threshold in thresholds]
    return areas


def score_predictors(truth, sigma=SIGMA):
    """Scores (B, 2, WIDTH) as of rules.score_maps by name: those of AUDIO_FREE, and ORACLE."""
    held = {name: nested.held(truth) for name, nested in NESTED.items()}

    def grow(name, areas):
        areas = np.tile(areas, (len(truth.area), 1))
        areas[:, ADAPTIVE] = truth.area
        return as_scores(NESTED[name].take(areas, held[name]), truth)

    everything = np.repeat(truth.counts[:, None], WIDTH, axis=1).astype(float)
    return {
        "whole_image": as_scores(everything, truth),
        "centred_square": grow("centred_square", areas_of_half()),
        "centred_disc": grow("centred_disc", areas_of_half()),
        "centred_gaussian": grow("centred_disc", areas_of_gaussian(sigma)),
        ORACLE: as_scores(take_best(truth), truth),
    }


def take_best(truth):
    """Pixels of each code in the best region that a rule allows, (B, WIDTH, 3): those on which most annotators agree
    first; where a rule wants more than were marked, others as well; where it leaves the choice, all that were marked.
    """
    some = truth.counts[:, 1] + truth.counts[:, 2]
    areas = np.repeat(some[:, None], WIDTH, axis=1)
    areas[:, COLUMNS["median"]] = PIXELS // 2
    areas[:, ADAPTIVE] = truth.area
    ones = np.minimum(areas, truth.counts[:, 2:])
    halves = np.minimum(areas - ones, truth.counts[:, 1:2])
    return np.stack([areas - ones - halves, halves, ones], axis=-1).astype(float)
