"""What scoring costs: python -m utils.speed eval"""

import platform

import cv2
import numpy as np
import torch

from dataset.benchmarks.annotations import GT_SIZE, vggss_map
from models.resnet import FrameNet
from models.sacl import SACL
from models.vggish import SoundNet
from utils.evaluation.baselines import SIGMA, gaussian_map
from utils.evaluation.evaluate import Evaluation, heat_maps, score
from utils.evaluation.metrics import min_max
from utils.evaluation.thresholds import COLUMNS, RULES, SWEEP, WIDTH, GroundTruth, score_maps
from utils.speed.timing import ROUNDS, one_thread, take_rounds

MAPS = 5158  # of VGG-SS
BATCH = 64
FORWARD = "the model's forward pass, float32"
OURS, OURS_ALL = "this evaluator, the model's maps", "this evaluator, with the predictors without a model"
SUMMARY = "the summary of all of them, with intervals"
PLAIN, PLAIN_ALL = (
    "map by map with OpenCV, NumPy, the model's maps",
    "map by map with OpenCV, NumPy, with the predictors",
)


def benchmark_eval(maps=MAPS, size=GT_SIZE):
    """Prints ms a map, and the spread, of the model's forward pass on images of `size` (random weights, a batch a
    round, scaled), of scoring by all rules with the predictors that have no model, of the summary of `maps` items with
    its intervals, and of the same scores taken map by map. One thread, all cases in every round."""
    similarity, gt = make_items(BATCH)
    model, ids = SACL(FrameNet(), SoundNet()).eval(), list(range(BATCH))
    image, spect = torch.randn(8, 3, size, size), torch.randn(8, 3, 1, 96, 64)
    predictors = straight_predictors()

    def forward(_):
        with torch.no_grad():
            model.localize(image, spect)

    def quick(_):
        score_maps(heat_maps(similarity, ids), GroundTruth(gt))

    def quick_with_predictors(_):
        return score(ids, heat_maps(similarity, ids), gt)

    def straight(i):
        return plain_scores(straight_heat(similarity[i % BATCH].numpy()), gt[i % BATCH])

    def straight_with_predictors(i):
        for heat in (straight_heat(similarity[i].numpy()), *predictors, gt[i]):
            plain_scores(heat, gt[i])

    with one_thread():
        forward(0)  # the kernels are chosen
        rows = quick_with_predictors(0)
        evaluation = build_evaluation(rows, maps)
        cases = {  # function, calls a round, items a call
            FORWARD: (forward, 1, len(image)),
            OURS: (quick, 4, BATCH),
            OURS_ALL: (quick_with_predictors, 4, BATCH),
            SUMMARY: (lambda _: evaluation.summary([*RULES]), 1, maps),
            PLAIN: (straight, 16, 1),
            PLAIN_ALL: (straight_with_predictors, 16, 1),
        }
        rounds = take_rounds({name: case[:2] for name, case in cases.items()})
        largest = max(np.abs(rows[i]["scores"]["model"][0] - straight(i)).max() for i in ids)
    seconds = {name: np.array(rounds[name]) / cases[name][2] for name in cases}
    print(f"one core of {platform.machine()}, {ROUNDS} rounds; {len(RULES)} rules, {WIDTH} regions a map")
    print(f"{'':52} {'ms a map':>9} {'least':>8} {'most':>8} {f'{maps} maps, s':>14}")
    for name, values in seconds.items():
        least, middle, most = 1000 * np.quantile(values, [0, 0.5, 1])
        print(f"{name:52} {middle:9.3f} {least:8.3f} {most:8.3f} {maps * middle / 1000:14.1f}")
    whole = seconds[OURS_ALL] + seconds[SUMMARY]
    print(f"evaluator with predictors and intervals / forward pass: {spread(whole / seconds[FORWARD])}")
    print(f"map by map / evaluator: {spread(seconds[PLAIN] / seconds[OURS])}")
    print(f"map by map / evaluator, both with predictors: {spread(seconds[PLAIN_ALL] / seconds[OURS_ALL])}")
    print(f"largest difference of their IoUs: {largest:.1e}")


def spread(ratios):
    """Median, least and most of the rounds' ratios."""
    return "{1:.3g} ({0:.3g} to {2:.3g})".format(*np.quantile(ratios, [0, 0.5, 1]))


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
    return np.ones_like(disc), min_max(-square), min_max(-disc), gaussian_map(SIGMA).astype(np.float32)


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


def build_evaluation(rows, maps):
    """An Evaluation of `maps` items that repeats these rows of scores."""
    chosen = [rows[i % len(rows)] for i in range(maps)]
    scores = {name: np.stack([row["scores"][name] for row in chosen]) for name in rows[0]["scores"]}
    nothing = {"class": None, "sounding": None, "group": None, "video": None}
    return Evaluation([{**row, **nothing} for row in chosen], scores, [], [])
