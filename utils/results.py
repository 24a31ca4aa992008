"""What test.py leaves behind: results.json, per_sample.csv, and the tables on the screen."""

import csv
import json

from utils.files import replacing, write_text
from utils.predictors import ORACLE
from utils.rules import RULES, choose


def write_results(folder, results, evaluation):
    """results.json with the named numbers, and per_sample.csv with a line an item: id, iou (by the first rule), class,
    box_area (share of the image), and the IoU by each rule of results."""
    rules = results["rules"]
    write_text(folder / "results.json", json.dumps(results, indent=1) + "\n")
    ious = {rule: choose(evaluation.scores["model"], rule)[0] for rule in rules}
    with replacing(folder / "per_sample.csv", "w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["id", "iou", "class", "box_area", *rules])
        for i, item in enumerate(evaluation.items):
            scores = [f"{values[i]:.6g}" for values in ious.values()]
            lines.writerow([item["id"], scores[0], item["class"] or "", f"{item['box_area']:.6g}", *scores])


def table(by_rule):
    """Lines for the screen: a block for each rule of a summary's "rules", a row for each predictor."""
    lines = []
    for rule, numbers in by_rule.items():
        chosen = f", here {numbers['threshold']:.2f}" if "threshold" in numbers else ""
        lines += ["", f"rule {rule}: {RULES[rule]}{chosen}"]
        lines.append(f"  {'':18} {'cIoU':26} {'AUC':26} {'mean IoU':>8} {'cIoU@0.3':>8} {'area':>5}")
        rows = {"model": numbers} if "ciou" in numbers else {}
        lines += [
            f"  {name:18} {row_of(values)}"
            for name, values in {**rows, **numbers["audio_free"], ORACLE: numbers[ORACLE]}.items()
        ]
    return lines


def row_of(numbers):
    """One row of a table: scores in per cent, with 95 % intervals."""
    parts = [
        "{:5.2f} [{:5.2f}, {:5.2f}]".format(*(100 * v for v in (numbers[key], *numbers[f"{key}_95"])))
        for key in ("ciou", "auc")
    ]
    parts = [f"{part:26}" for part in parts]
    return " ".join(
        [
            *parts,
            *(f"{100 * numbers[key]:{width}.2f}" for key, width in (("mean_iou", 8), ("ciou_0.3", 8))),
            f"{numbers['predicted_area']:5.2f}",
        ]
    )
