"""Consensus IoU, success curve, AUC and their confidence intervals: arrays in, named numbers out."""

import numpy as np
from numpy.typing import ArrayLike

SUCCESS = 0.5  # an item is localised if its consensus IoU reaches this
LENIENT = 0.3  # a second mark that some papers report
THRESHOLDS = np.linspace(0, 1, 21)
RESAMPLES = 2000


def consensus_iou(pred: np.ndarray, gt: np.ndarray) -> float | np.ndarray:
    """Consensus IoU (Senocak et al., CVPR 2018): overlap weighted by how many annotators agree.

    pred: (H, W) or (..., H, W) bool; gt: the same shape, in [0, 1]. Returns a float, or an array (...).
    An image without ground truth scores 0, also where nothing is predicted.
    """
    agreed = np.where(pred, gt, 0).sum(axis=(-2, -1))
    total = np.sum(gt, axis=(-2, -1)) + (pred & (gt == 0)).sum(axis=(-2, -1))
    return np.divide(agreed, total, out=np.zeros_like(total, float), where=total > 0)[()]


def min_max(maps: np.ndarray) -> np.ndarray:
    """Stretches each map (..., H, W) to [0, 1]; a constant map has no peak and becomes 0 everywhere."""
    low, high = maps.min(axis=(-2, -1), keepdims=True), maps.max(axis=(-2, -1), keepdims=True)
    return (maps - low) / np.where(high > low, high - low, np.inf)


def ciou(ious: ArrayLike) -> float | np.ndarray:
    """Share of items whose consensus IoU reaches 0.5: (..., n) -> float or (...)."""
    return (np.asarray(ious) >= SUCCESS).mean(axis=-1)


def success_curve(ious: ArrayLike) -> np.ndarray:
    """Share of items whose consensus IoU reaches each of 0, 0.05, ..., 1: (n,) -> (21,)."""
    return (np.asarray(ious)[None, :] >= THRESHOLDS[:, None]).mean(axis=1)


def success_auc(ious: ArrayLike) -> float:
    """Area under the success curve, by the trapezoid rule: (n,) -> float."""
    return float(np.trapezoid(success_curve(ious), THRESHOLDS))


def own_areas(ious: ArrayLike) -> np.ndarray:
    """The area under each item's own success curve, whose mean is success_auc: (...) -> (...).

    With one number an item, the AUC can be resampled and compared in pairs like any other score.
    """
    ious = np.asarray(ious)
    steps = np.searchsorted(THRESHOLDS, ious.ravel(), side="right").reshape(ious.shape)  # thresholds reached, >= 1
    return np.clip(steps - 0.5 - 0.5 * (steps == len(THRESHOLDS)), 0, None) / (len(THRESHOLDS) - 1)


def summarise(ious: ArrayLike, areas: ArrayLike | None = None, seed: int = 0) -> dict:
    """The scores of (n,) consensus IoUs, with bootstrap 95 % intervals (percentiles, items resampled).

    areas: (n,) shares of the image that were predicted. Returns a dict of plain numbers: n, ciou, auc, mean_iou,
    ciou_0.3, for each of these four <name>_95 [low, high], and where areas are given predicted_area.
    """
    return summarise_all({"": ious}, {"": areas}, seed)[""]


def summarise_all(ious: dict[str, ArrayLike], areas: dict[str, ArrayLike | None], seed: int = 0) -> dict[str, dict]:
    """`summarise` for several predictors of the same items at once: dicts of (n,) by name -> a dict of dicts by name.

    Raises ValueError where there is no item.
    """
    table = np.array([np.asarray(values, float) for values in ious.values()])  # predictors x items
    if table.size == 0:
        raise ValueError("there is no item to score: check the test list and the files it names")
    scores = {"ciou": table >= SUCCESS, "auc": own_areas(table), "mean_iou": table, "ciou_0.3": table >= LENIENT}
    low, high = bootstrap(np.concatenate(list(scores.values())), seed).reshape(2, len(scores), len(table)).round(4)
    summaries = {}
    for i, name in enumerate(ious):
        summaries[name] = {"n": table.shape[1]}
        for k, (key, values) in enumerate(scores.items()):
            summaries[name] |= {key: float(values[i].mean()), f"{key}_95": [float(low[k, i]), float(high[k, i])]}
        if areas[name] is not None:
            summaries[name]["predicted_area"] = float(np.mean(areas[name]))
    return summaries


def bootstrap(scores: np.ndarray, seed: int = 0) -> np.ndarray:
    """Bounds of the 95 % intervals of means: (m, n) scores -> (2, m). Every row is resampled with the same items."""
    n = scores.shape[1]
    rows = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))
    # How often each item was drawn, as a matrix: one matrix product gives the means of all rows.
    counts = np.bincount((rows + n * np.arange(RESAMPLES)[:, None]).ravel(), minlength=RESAMPLES * n)
    means = scores.astype(np.float32) @ counts.reshape(RESAMPLES, n).T.astype(np.float32) / n
    return np.percentile(means, [2.5, 97.5], axis=1)
