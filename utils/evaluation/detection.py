"""Scores for test sets with silent items, and for images with several sounding objects."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from dataset.benchmarks.annotations import GT_SIZE
from utils.evaluation.metrics import SUCCESS, own_areas

TOP = GT_SIZE * GT_SIZE // 4  # pixels whose mean is the confidence that something sounds


def confidence(maps: np.ndarray) -> np.ndarray:
    """Confidence that something sounds: the mean of a map's top quarter, (B, 224, 224) cosines -> (B,)."""
    flat = maps.reshape(len(maps), -1)
    return np.partition(flat, flat.shape[1] - TOP, axis=1)[:, -TOP:].mean(axis=1)


def detection_scores(ious: ArrayLike, confidences: ArrayLike, sounding: ArrayLike) -> dict[str, float]:
    """AP, max-F1 and LocAcc as SLAVC's authors define them (Mo and Morgado, NeurIPS 2022), and stricter ones.

    ious, confidences: (n,); sounding: (n,) bool, whether a visible object sounds. An item is detected if its confidence
    reaches a threshold; the detection is correct if its IoU reaches 0.5. Published: a misplaced detection is a false
    positive but no false negative, so the recall goes to 1 as the threshold falls, even for random places; AP leaves
    out the most confident item and the first segment of the recall; max-F1 tries about eleven thresholds. The stricter
    scores, *_misplaced_missed, count a misplaced detection as a false negative too; nothing else differs.
    """
    ious, confidences, sounding = np.asarray(ious), np.asarray(confidences), np.asarray(sounding, bool)
    ordered = np.sort(confidences)
    for_ap = ordered[:-1][:: -max(1, len(ordered) // 200)]
    for_f1 = ordered[:: max(1, len(ordered) // 10)]
    scores = {"loc_acc": float((ious[sounding] >= SUCCESS).mean())}
    for name, misplaced_missed in (("", False), ("_misplaced_missed", True)):
        precision, recall = _curve(for_ap, ious, confidences, sounding, misplaced_missed)
        best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
        scores[f"ap{name}"] = float((best_from_here[:-1] * np.diff(recall)).sum())
        precision, recall = _curve(for_f1, ious, confidences, sounding, misplaced_missed)
        both = precision + recall
        f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
        scores[f"max_f1{name}"] = float(f1.max())
    return scores


def _curve(thresholds, ious, confidences, sounding, misplaced_missed):
    """Precision and recall at each of (t,) thresholds; 1 where the denominator is 0."""
    detected = confidences >= thresholds[:, None]
    right = (detected & sounding & (ious >= SUCCESS)).sum(axis=1)
    found = sounding.sum() if misplaced_missed else right + (~detected & sounding).sum(axis=1)
    ones = np.ones(len(thresholds))
    precision = np.divide(right, detected.sum(axis=1), out=ones.copy(), where=detected.any(axis=1))
    return precision, np.divide(right, found, out=ones, where=found > 0)


def interactive_scores(ious: np.ndarray, groups: Sequence[str]) -> dict[str, float]:
    """IIoU and IAUC (Senocak et al., "Sound source localization is all about cross-modal alignment", ICCV 2023): an
    image scores the lowest IoU of its sounding objects.

    ious: (n,); groups: (n,) names of images. iiou, iauc are over the images with several objects; *_with_single are
    over all, as published.
    """
    names, image = np.unique(groups, return_inverse=True)
    worst = np.ones(len(names))
    np.minimum.at(worst, image, ious)
    several = np.bincount(image) > 1
    scores = {"images": int(several.sum()), "images_with_single": len(names)}
    for name, chosen in (("", worst[several]), ("_with_single", worst)):
        if len(chosen):
            scores[f"iiou{name}"] = float((chosen >= SUCCESS).mean())
            scores[f"iauc{name}"] = float(own_areas(chosen).mean())
    return scores
