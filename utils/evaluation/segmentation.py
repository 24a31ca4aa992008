"""AVSBench's scores of video frames against masks (Zhou et al., "Audio-visual segmentation", ECCV 2022)."""

from collections.abc import Sequence

import numpy as np
import torch

from utils.evaluation.metrics import bootstrap
from utils.evaluation.thresholds import PIXELS

BETA2 = 0.3  # beta squared: precision counts more than recall
THRESHOLDS = torch.linspace(0, 1, 255).numpy()  # of torch, as in AVSBench: NumPy rounds two of them otherwise


def frame_scores(heat: np.ndarray, gt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How well each of (B, 224, 224) heat maps in [0, 1] fits its mask, where gt is not 0.

    Returns (B, 255), F at each of THRESHOLDS (value >= threshold), NaN where the mask is empty; and (B,), the IoU of
    value > 0.5: with an empty mask the share of the frame that is not predicted.
    """
    curves, ious = np.empty((len(heat), len(THRESHOLDS))), np.empty(len(heat))
    for i, (values, mask) in enumerate(zip(heat.reshape(len(heat), -1), gt.reshape(len(gt), -1) > 0, strict=True)):
        level = np.searchsorted(THRESHOLDS, values, side="right")  # thresholds reached
        predicted, right = (_at_least(level[chosen]) for chosen in (slice(None), mask))
        # (1 + b) P R / (b P + R), with P = right / predicted and R = right / mask
        curves[i] = (1 + BETA2) * right / (BETA2 * mask.sum() + predicted) if mask.any() else np.nan
        region = values > 0.5
        ious[i] = (region & mask).sum() / (region | mask).sum() if mask.any() else 1 - region.sum() / PIXELS
    return curves, ious


def _at_least(level):
    """How many of the levels are 1 or more, 2 or more, ...: one number a threshold."""
    return np.bincount(level, minlength=len(THRESHOLDS) + 1)[::-1].cumsum()[-2::-1]


def segmentation_scores(curves: np.ndarray, ious: np.ndarray, videos: Sequence[str]) -> dict:
    """mIoU and F of all frames: curves (n, 255) and ious (n,) of frame_scores, videos (n,) names.

    f_best_of_video: the best threshold of each video, as in the official test program, whose batches are videos; a
    video without any mask counts 0. f_best_of_set: the best threshold of the whole set, without the frames that have no
    mask. The first is higher, as it chooses more thresholds on the test set. The 95 % intervals resample videos,
    because frames of one video are similar.
    """
    masked = ~np.isnan(curves[:, 0])
    numbers = {"frames": len(ious), "frames_with_mask": int(masked.sum())}
    if not masked.any():
        return numbers
    best = int(curves[masked].mean(axis=0).argmax())
    rows = {"miou": [], "f_best_of_video": [], "f_best_of_set": []}
    for name in dict.fromkeys(videos):
        frames = np.array([video == name for video in videos])
        rows["miou"].append(ious[frames].mean())
        found = curves[frames & masked]
        rows["f_best_of_video"].append(found.mean(axis=0).max() if len(found) else 0.0)
        if len(found):
            rows["f_best_of_set"].append(found[:, best].mean())
    numbers |= {"miou": float(ious.mean()), "f_best_of_video": float(np.mean(rows["f_best_of_video"]))}
    numbers |= {"f_best_of_set": float(curves[masked, best].mean()), "f_threshold": float(THRESHOLDS[best])}
    for key, values in rows.items():
        numbers[f"{key}_95"] = bootstrap(np.array([values]))[:, 0].round(4).tolist()
    return numbers
