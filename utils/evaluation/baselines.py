"""Baselines without a model, scored by the same rules: the lower end, and the upper end, of every table."""

from functools import cache

import numpy as np

from dataset.benchmarks.annotations import GT_SIZE
from utils.evaluation.metrics import min_max
from utils.evaluation.thresholds import COLUMNS, PIXELS, SWEEP, WIDTH, GroundTruth, as_scores, score_maps

BASELINES = ("whole_image", "centred_square", "centred_disc", "centred_gaussian")  # use neither the image nor the sound
ORACLE = "oracle"  # uses the ground truth: the best score that a rule allows
SIGMA = 80  # pixels, of the Gaussian

# Rules that do not say how large a region without heat values is: the baselines take half of the image.
HALF = [COLUMNS[rule].start for rule in ("fixed0.5", "fixed0.6", "median")]
HALF.append(COLUMNS["sweep"].start + int(np.argmax(SWEEP == 0.5)))


def gaussian_map(sigma: float) -> np.ndarray:
    """A centred Gaussian of `sigma` pixels as a heat map: (224, 224) in [0, 1], min-max."""
    offset = np.arange(GT_SIZE) - (GT_SIZE - 1) / 2
    return min_max(np.exp((np.square(offset)[:, None] + np.square(offset)) / (-2 * sigma**2)))


def percentile_map(distance: np.ndarray) -> np.ndarray:
    """Heat that falls with a distance (224, 224), such that the region value >= t covers the share 1 - t of the image.

    Pixels at the same distance are one ring. A ring is above a threshold if most of its pixels should be.
    """
    _, ring, size = np.unique(distance, return_inverse=True, return_counts=True)
    return 1 - ((np.cumsum(size) - size / 2) / PIXELS)[ring.reshape(distance.shape)]


@cache
def centred_maps(sigma: float) -> np.ndarray:
    """Heat maps of the square, the disc and the Gaussian, the same for every image: (3, 1, 224, 224) float32."""
    offset = np.abs(np.arange(GT_SIZE) - (GT_SIZE - 1) / 2)
    square, disc = np.maximum(offset[:, None], offset), np.square(offset)[:, None] + np.square(offset)
    return np.array([percentile_map(square), percentile_map(disc), gaussian_map(sigma)], np.float32)[:, None]


def score_baselines(truth: GroundTruth, sigma: float = SIGMA) -> dict[str, np.ndarray]:
    """Scores (B, 2, WIDTH) as of rules.score_maps by name: those of BASELINES, and ORACLE."""
    square, disc, gaussian = (score_maps(heat, truth) for heat in centred_maps(sigma))
    # The square of half of the image has whole rings (158 pixels a side), the disc's outermost ring counts in part.
    for scores, rule in ((square, "fixed0.5"), (disc, "median")):
        scores[:, :, HALF] = scores[:, :, COLUMNS[rule]]
    everything = np.repeat(truth.counts[:, None], WIDTH, axis=1).astype(float)
    scores = [as_scores(everything, truth), square, disc, gaussian, as_scores(take_best(truth), truth)]
    return dict(zip([*BASELINES, ORACLE], scores, strict=True))


def take_best(truth: GroundTruth) -> np.ndarray:
    """Pixels of each code in the best region that a rule allows, (B, WIDTH, 3).

    The pixels on which most annotators agree come first. Where the rule fixes the area (median, adaptive), the region
    has that area; elsewhere it is all that was marked.
    """
    areas = np.repeat(truth.counts[:, 1:].sum(axis=1)[:, None], WIDTH, axis=1)
    areas[:, COLUMNS["median"]] = PIXELS // 2
    areas[:, COLUMNS["adaptive"]] = truth.area[:, None]
    ones = np.minimum(areas, truth.counts[:, 2:])
    halves = np.minimum(areas - ones, truth.counts[:, 1:2])
    return np.stack([areas - ones - halves, halves, ones], axis=-1).astype(float)
