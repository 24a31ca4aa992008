"""python -m utils.speed eval: scoring, beside scoring map by map and beside the model's forward pass."""

import platform
from argparse import Namespace

import cv2
import numpy as np
import torch
from torch.utils.benchmark import set_torch_threads

from dataset.benchmarks.annotations import GT_SIZE, vggss_map
from models.resnet import FrameNet
from models.sacl import SACL
from models.vggish import SoundNet
from utils.evaluation.evaluate import Evaluation, heat_maps, score
from utils.evaluation.thresholds import COLUMNS, RULES, SWEEP, WIDTH, GroundTruth, score_maps
from utils.speed.timing import print_table, take_rounds

LOOPED, SCORES = "map by map, and the five baselines' maps", "evaluator, with the baselines"
FORWARD, SUMMARY = "SACL's forward pass", "summary, with confidence intervals"


def benchmark(args: Namespace, device: torch.device, maps=5158, batch=64, rounds=5):
    """Prints what scoring under all rules costs on one core: batches of random maps, and the summary of `maps` of them
    (by default as many as VGG-SS has)."""
    similarity, gt = make_items(batch)
    model, ids = SACL(FrameNet(), SoundNet()).eval().requires_grad_(False), list(range(batch))
    image, audio = torch.randn(8, 3, args.imgSize, args.imgSize), torch.randn(8, 3, 1, 96, 64)
    scored = score(ids, heat_maps(similarity, ids), gt)
    evaluation = repeat(scored, maps)
    cases = {
        "map by map with OpenCV and NumPy": (lambda: [score_alone(similarity[i], gt[i]) for i in ids], 1, batch),
        LOOPED: (lambda: [score_alone(similarity[i], gt[i]) for i in ids for _ in range(6)], 1, batch),
        "evaluator": (lambda: score_maps(heat_maps(similarity, ids), GroundTruth(gt)), 4, batch),
        SCORES: (lambda: score(ids, heat_maps(similarity, ids), gt), 4, batch),
        SUMMARY: (lambda: evaluation.summary([*RULES]), 1, maps),
        FORWARD: (lambda: model.localize(image, audio), 1, len(image)),
    }
    with set_torch_threads(1):
        seconds = take_rounds(cases, rounds, warm_up=1)
    print_table(f"one core of {platform.machine()}, {len(RULES)} rules, {WIDTH} regions a map", seconds, "map")
    print(f"speed of the evaluator with the baselines: {np.median(seconds[LOOPED] / seconds[SCORES]):.1f} x map by map")
    share = np.median((seconds[SCORES] + seconds[SUMMARY]) / seconds[FORWARD])
    print(f"time of the evaluator with baselines and summary: {share:.2%} of the forward pass")
    alone = np.array([score_alone(similarity[i], gt[i]) for i in ids])
    largest = np.abs(np.array([row["scores"]["model"][0] for row in scored]) - alone).max()
    print(f"largest difference from the IoUs found map by map: {largest:.1e}")


def make_items(count: int) -> tuple[torch.Tensor, np.ndarray]:
    """Random cosine maps (count, 14, 14) float32, and ground truth (count, 224, 224) of one or two boxes."""
    g = np.random.default_rng(0)
    similarity = torch.tensor(g.uniform(-1, 1, (count, 14, 14)), dtype=torch.float32)
    corners = np.sort(g.random((count, 2, 2, 2)), axis=2)  # item, box, corner, x and y
    return similarity, np.stack([vggss_map(boxes.reshape(2, 4)[: 1 + i % 2]) for i, boxes in enumerate(corners)])


def repeat(scored: list[dict], maps: int) -> Evaluation:
    """An Evaluation of `maps` items, the scored ones over and over."""
    labels = dict.fromkeys(("class", "sounding", "group", "video"))
    items = [scored[i % len(scored)] | labels for i in range(maps)]
    scores = {name: np.stack([item["scores"][name] for item in items]) for name in scored[0]["scores"]}
    return Evaluation(items, scores, [], [])


def score_alone(similarity: torch.Tensor, gt: np.ndarray) -> np.ndarray:
    """Consensus IoUs (WIDTH,) of one map (14, 14) under every rule, as the published programs find them: enlarged and
    normalised, then one mask after the other, and a sort for each rule about areas."""
    heat = cv2.resize(similarity.numpy(), (GT_SIZE, GT_SIZE), interpolation=cv2.INTER_LINEAR)
    heat = (heat - heat.min()) / (heat.max() - heat.min())
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
