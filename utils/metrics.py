"""Consensus IoU, success curve, AUC and how sure they are: arrays in, named numbers out."""

import numpy as np
from sklearn.metrics import auc

SUCCESS = 0.5  # an item is localised if its consensus IoU reaches this
THRESHOLDS = np.linspace(0, 1, 21)
RESAMPLES = 2000


def consensus_iou(pred, gt):
    """Consensus IoU (Senocak et al., CVPR 2018): overlap weighted by how many annotators agree.

    pred: (H, W) or (..., H, W) bool; gt: the same shape, in [0, 1]. Returns a float, or an array (...).
    An image without ground truth scores 0, also where nothing is predicted.
    """
    agreed = np.where(pred, gt, 0).sum(axis=(-2, -1))
    total = np.sum(gt, axis=(-2, -1)) + (pred & (gt == 0)).sum(axis=(-2, -1))
    return np.divide(agreed, total, out=np.zeros_like(total, float), where=total > 0)[()]


def min_max(maps):
    """Stretches each map (..., H, W) to [0, 1]; a constant map has no peak and becomes 0 everywhere."""
    low, high = maps.min(axis=(-2, -1), keepdims=True), maps.max(axis=(-2, -1), keepdims=True)
    return np.divide(maps - low, high - low, out=np.zeros_like(maps), where=high > low)


def ciou(ious):
    """Share of items whose consensus IoU reaches 0.5: (..., n) -> float or (...)."""
    return (np.asarray(ious) >= SUCCESS).mean(axis=-1)


def success_curve(ious):
    """Share of items whose consensus IoU reaches each of 0, 0.05, ..., 1: (n,) -> (21,)."""
    return (np.asarray(ious)[None, :] >= THRESHOLDS[:, None]).mean(axis=1)


def success_auc(ious):
    """Area under the success curve, by the trapezoid rule: (n,) -> float."""
    return float(auc(THRESHOLDS, success_curve(ious)))


def summarise(ious, seed=0):
    """cIoU and AUC of (n,) consensus IoUs with their bootstrap 95 % intervals (percentiles, items resampled).

    Returns a dict of plain numbers: n, ciou, ciou_95 [low, high], auc, auc_95 [low, high].
    """
    ious = np.asarray(ious, float)
    if len(ious) == 0:
        raise ValueError("there is no item to score: check the test list and the files it names")
    # The area is a mean over the items, of each item's own area: so it can be resampled like any other score.
    areas = np.array([success_auc([iou]) for iou in ious])
    rows = np.random.default_rng(seed).integers(0, len(ious), (RESAMPLES, len(ious)))
    interval = {
        name: np.percentile(scores[rows].mean(axis=1), [2.5, 97.5]).round(4).tolist()
        for name, scores in (("ciou_95", ious >= SUCCESS), ("auc_95", areas))
    }
    return {
        "n": len(ious),
        "ciou": float(ciou(ious)),
        "ciou_95": interval["ciou_95"],
        "auc": success_auc(ious),
        "auc_95": interval["auc_95"],
    }
