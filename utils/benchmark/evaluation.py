"""What scoring costs: python -m utils.benchmark eval"""

import platform
import time

import cv2
import numpy as np
import torch

from dataset.annotations import GT_SIZE, vggss_map
from models.resnet import FrameNet
from models.sacl import SACL
from models.vggish import SoundNet
from utils.benchmark.timing import ROUNDS, alternate, one_thread
from utils.evaluation import Evaluation, heat_maps, score
from utils.metrics import min_max
from utils.predictors import gaussian_map
from utils.rules import COLUMNS, RULES, SWEEP, WIDTH, GroundTruth, score_maps

MAPS = 5158  # of VGG-SS
BATCH = 64


def benchmark_eval(maps=MAPS, size=GT_SIZE):
    """Prints ms a map of the model's forward pass on images of `size`, of scoring by all rules with the predictors that
    have no model, and of the same done map by map; and seconds of the summaries of `maps` items. One thread."""
    similarity, gt = make_items(BATCH)
    model, ids = SACL(FrameNet(), SoundNet()).eval(), list(range(BATCH))
    image, spect = torch.randn(8, 3, size, size), torch.randn(8, 3, 1, 96, 64)
    predictors = {**straight_predictors(), "oracle": None}

    def forward(_):
        with torch.no_grad():
            model.localize(image, spect)

    def straight(i):
        plain_scores(straight_heat(similarity[i].numpy()), gt[i])

    def straight_with_predictors(i):
        straight(i)
        for heat in predictors.values():
            plain_scores(gt[i] if heat is None else heat, gt[i])

    def quick(_):
        score_maps(heat_maps(similarity, ids), GroundTruth(gt))

    def quick_with_predictors(_):
        score(ids, heat_maps(similarity, ids), gt)

    with one_thread():
        passes = alternate({"forward": forward}, 2)["forward"] / len(image)
        quickly = alternate({"model": quick, "all": quick_with_predictors}, 2)
        plainly = alternate({"model": straight, "all": straight_with_predictors}, 16)
        rows = score(ids, heat_maps(similarity, ids), gt)
        expected = [plain_scores(straight_heat(similarity[i].numpy()), gt[i]) for i in ids]
        largest = max(np.abs(row["scores"]["model"][0] - one).max() for row, one in zip(rows, expected, strict=True))
        summary = seconds_of_summaries(rows, maps)

    quickly = {name: seconds / BATCH for name, seconds in quickly.items()}
    lines = {
        "the model's forward pass, float32": passes,
        "this evaluator, the model's maps": quickly["model"],
        "this evaluator, with the five predictors without a model": quickly["all"],
        "map by map with OpenCV and NumPy, the model's maps": plainly["model"],
        "map by map with OpenCV and NumPy, with the predictors": plainly["all"],
    }
    print(f"one core of {platform.machine()}, medians of {ROUNDS} rounds; {len(RULES)} rules, {WIDTH} regions a map")
    print(f"{'':58} {'ms a map':>9} {f'{maps} maps, s':>14}")
    for name, seconds in lines.items():
        print(f"{name:58} {1000 * seconds:9.2f} {maps * seconds:14.1f}")
    print(f"{'the intervals of all of them, once':58} {'':9} {summary:14.1f}")
    whole = quickly["all"] + summary / maps
    print(f"evaluator / forward pass, with predictors and intervals: {whole / passes:.3f}")
    ratios = [f"{plainly[name] / quickly[name]:.1f}" for name in ("model", "all")]
    print(f"map by map / evaluator: {ratios[0]}, with the predictors {ratios[1]}")
    print(f"largest difference of their IoUs: {largest:.1e}")


def make_items(count):
    """Random smooth cosine maps (count, 14, 14) and ground truth (count, 224, 224) of one or two boxes."""
    g = np.random.default_rng(0)
    similarity = torch.tensor(g.uniform(-1, 1, (count, 14, 14)), dtype=torch.float32)
    corners = np.sort(g.random((count, 2, 2, 2)), axis=2)  # item, box, corner, x and y
    return similarity, np.stack([vggss_map(boxes.reshape(2, 4)[: 1 + i % 2]) for i, boxes in enumerate(corners)])


def straight_heat(similarity):
    """A map (14, 14) as the published programs enlarge and normalise it."""
    heat = cv2.resize(similarity, (GT_SIZE, GT_SIZE), interpolation=cv2.INTER_LINEAR)
    return (heat - heat.min()) / (heat.max() - heat.min())


def straight_predictors():
    """Heat maps that know neither image nor sound, which go through the same rules as the model's."""
    offset = np.abs(np.arange(GT_SIZE, dtype=np.float32) - (GT_SIZE - 1) / 2)
    square, disc = np.maximum(offset[:, None], offset), np.square(offset)[:, None] + np.square(offset)
    return {
        "whole_image": np.ones((GT_SIZE, GT_SIZE), np.float32),
        "centred_square": min_max(-square),
        "centred_disc": min_max(-disc),
        "centred_gaussian": gaussian_map(80).astype(np.float32),
    }


def plain_scores(heat, gt):
    """Consensus IoUs (WIDTH,) of one map by every rule: one mask after the other, and a sort for each area."""
    scores, marked = np.empty(WIDTH), int((gt > 0).sum()) or heat.size // 2
    thresholds = {"fixed0.5": [0.5], "fixed0.6": [0.6], "sweep": SWEEP.tolist()}
    thresholds["median"] = [np.sort(heat.flatten())[heat.size - heat.size // 2]]
    thresholds["adaptive"] = [np.sort(heat.flatten())[heat.size - marked]]
    for rule, values in thresholds.items():
        for k, value in enumerate(values):
            pred = np.zeros((GT_SIZE, GT_SIZE))
            pred[heat >= value] = 1
            scores[COLUMNS[rule].start + k] = np.sum(pred * gt) / (np.sum(gt) + np.sum(pred * (gt == 0)))
    return scores


def seconds_of_summaries(rows, maps):
    """Seconds of the scores with their intervals, by all rules, of so many items."""
    chosen = [rows[i % len(rows)] for i in range(maps)]
    scores = {name: np.stack([row["scores"][name] for row in chosen]) for name in rows[0]["scores"]}
    nothing = {"class": None, "sounding": None, "group": None}
    evaluation = Evaluation([{**row, **nothing} for row in chosen], scores, [], [])
    started = time.perf_counter()
    evaluation.summary(list(RULES))
    return time.perf_counter() - started
