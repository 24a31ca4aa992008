"""The table of the no-audio baselines, from the public lists alone: python test.py baselines"""

import numpy as np

from utils.evaluation.baselines import score_baselines
from utils.evaluation.metrics import ciou, success_auc
from utils.evaluation.thresholds import RULES, GroundTruth, choose
from utils.results.provenance import describe_lists

BATCH = 64


def score_index(benchmark) -> dict[str, np.ndarray]:
    """Scores (n, 2, WIDTH) as of rules.score_maps by predictor, of all items in which something sounds."""
    items = [i for i in range(len(benchmark)) if not benchmark.sounding or benchmark.sounding[i]]
    parts = []
    for first in range(0, len(items), BATCH):
        gt = np.stack([benchmark.gt_map(i) for i in items[first : first + BATCH]])
        parts.append(score_baselines(GroundTruth(gt)))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def tabulate(name: str, benchmark, rules: list[str]) -> list[str]:
    """Lines for the screen: a row for each predictor, cIoU and AUC in per cent by each rule."""
    scores = score_index(benchmark)
    lists = ", ".join(f"{one['name']} {one['sha256'][:8]}" for one in describe_lists(benchmark))
    lines = [f"{name}: {len(next(iter(scores.values())))} items ({lists}), cIoU / AUC in per cent"]
    lines += [f"  {rule}: {RULES[rule]}" for rule in rules]
    lines.append(f"  {'':18}" + "".join(f"{rule:>18}" for rule in rules))
    for predictor, values in scores.items():
        ious = [choose(values, rule)[0] for rule in rules]
        cells = [f"{100 * ciou(one):.2f} / {100 * success_auc(one):.2f}" for one in ious]
        lines.append(f"  {predictor:18}" + "".join(f"{cell:>18}" for cell in cells))
    return lines
