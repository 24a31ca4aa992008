"""AVSBench's scores against slow, plain versions."""

import numpy as np
import pytest
import torch
from test_sound_tests import OneHotSet, Sees
from torch import nn

from utils.evaluation.evaluate import build_test_loader, evaluate
from utils.evaluation.segmentation import frame_scores, segmentation_scores
from utils.results.write import further_tables


def slow_f(heat, mask):
    """F at 255 thresholds, one after another."""
    curve = []
    for threshold in torch.linspace(0, 1, 255).numpy():
        region = heat >= threshold
        right = (region & mask).sum()
        precision, recall = right / (region.sum() + 1e-20), right / mask.sum()
        curve.append(1.3 * precision * recall / (0.3 * precision + recall) if right else 0.0)
    return curve


def test_frame_scores_are_their_definition():
    g = np.random.default_rng(0)
    heat = g.random((4, 224, 224)).astype(np.float32)
    heat[1] = np.round(heat[1] * 254) / 254  # values that are thresholds
    heat[2] = 0
    gt = (g.random((4, 224, 224)) < 0.3).astype(np.float32)
    gt[3] = 0
    curves, ious = frame_scores(heat, gt)
    for i in range(3):
        assert curves[i] == pytest.approx(slow_f(heat[i], gt[i] > 0), abs=1e-9)
        region = heat[i] > 0.5
        assert ious[i] == (region & (gt[i] > 0)).sum() / (region | (gt[i] > 0)).sum()
    assert np.isnan(curves[3]).all() and ious[3] == pytest.approx((heat[3] <= 0.5).mean())


def test_one_threshold_for_each_video_or_for_all():
    curves = np.zeros((5, 255))
    curves[0, 10], curves[1, 10], curves[2, 20], curves[3] = 0.8, 0.4, 0.9, np.nan  # the fourth has no mask
    curves[4] = np.nan  # nor has the third video
    scores = segmentation_scores(curves, np.array([0.2, 0.4, 0.6, 1, 0.5]), ["a", "a", "b", "b", "c"])
    assert scores["f_best_of_video"] == pytest.approx((0.6 + 0.9 + 0) / 3)
    assert scores["f_best_of_set"] == pytest.approx(1.2 / 3) and scores["f_threshold"] == pytest.approx(10 / 254)
    assert scores["miou"] == pytest.approx(0.54) and (scores["frames"], scores["frames_with_mask"]) == (5, 3)
    assert scores["miou_95"][0] <= 0.54 <= scores["miou_95"][1]
    assert segmentation_scores(curves[3:], np.ones(2), ["b", "c"]) == {"frames": 2, "frames_with_mask": 0}


class Finds(nn.Module):
    """Looks where the one-hot item is."""

    def localize(self, image, audio):
        return Sees()(image)[:, :14].amax(dim=1)


def test_a_set_of_frames_is_scored_as_avsbench_scores_it():
    test_set = OneHotSet(6)
    test_set.benchmark.videos = ["x", "x", "x", "y", "y", "y"]
    summary = evaluate(Finds(), build_test_loader(test_set, 4, 0), torch.device("cpu")).summary()
    scores = summary["segmentation"]
    assert (scores["frames"], scores["frames_with_mask"]) == (6, 6) and scores["miou"] > 0.9
    assert 0.9 < scores["f_best_of_set"] <= scores["f_best_of_video"] <= 1
    _, title, line = further_tables(summary)
    assert title == "segmentation" and "f_best_of_set 0.9" in line
