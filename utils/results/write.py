"""The output of test.py: results.json, per_sample.csv, and the tables on the screen."""

import csv
import json
from pathlib import Path

import numpy as np

from dataset.storage.atomic import replacing, write_text
from utils.evaluation.baselines import ORACLE
from utils.evaluation.thresholds import RULES, choose

# Arguments that may differ where results are replaced: where and how a test runs, not what it tests.
ANY = {"ckpt", "data_path", "device", "workers", "batch_size_per_gpu", "num_visual", "command", "clip"}

FURTHER = ("segmentation", "negative_audio", "retrieval")  # measures with thresholds of their own, or none


def check_folder(folder: Path, args):
    """Raises FileExistsError where a folder holds the results of another test than these arguments ask for."""
    path = folder / "results.json"
    if not path.is_file():
        return
    try:
        before = json.loads(path.read_text())["arguments"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no results.json of test.py ({error!r:.80}): move it away") from None
    now = json.loads(json.dumps(vars(args), default=str))
    other = [key for key in now if key not in ANY and before.get(key) != now[key]]
    if other:
        changed = ", ".join(f"--{key} was {before.get(key)}, is {now[key]}" for key in other)
        raise FileExistsError(
            f"{folder} holds the results of another test ({changed}): name another folder with --ckpt"
        )


def write_results(folder, results, evaluation):
    """results.json with the named numbers, and per_sample.csv with a line an item: id, iou (by the first rule), class,
    box_area (share of the image), and the IoU by each rule of results; no IoU where nothing sounds."""
    rules = results["fingerprint"]["rules"]
    write_text(folder / "results.json", json.dumps(results, indent=1) + "\n")
    ious = {rule: choose(evaluation.scores["model"], rule)[0] for rule in rules}
    with replacing(folder / "per_sample.csv", "w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["id", "iou", "class", "box_area", *rules])
        for i, item in enumerate(evaluation.items):
            scores = ["" if item["sounding"] is False else f"{values[i]:.9g}" for values in ious.values()]
            lines.writerow([item["id"], scores[0], item["class"] or "", f"{item['box_area']:.6g}", *scores])


def table(by_rule):
    """Lines for the screen: a block for each rule of a summary's "rules", a row for each predictor."""
    lines = []
    for rule, numbers in by_rule.items():
        chosen = f", here {numbers['threshold']:.2f}" if "threshold" in numbers else ""
        lines += ["", f"rule {rule}: {RULES[rule]}{chosen}"]
        lines.append(f"  {'':18} {'cIoU':23} {'AUC':23} {'mean IoU':>8} {'cIoU@0.3':>8} {'area':>5}")
        rows = {"model": numbers, **numbers["baselines"], ORACLE: numbers[ORACLE], **numbers.get("object_guided", {})}
        lines += [f"  {name:18} {row_of(values)}" for name, values in rows.items()]
        for extra in ("detection", "several"):
            for path, values in parts_of(numbers.get(extra, {})).items():
                lines.append(f"  {extra}{path and ', '}{path}: {named(values)}")
    return lines


def row_of(numbers):
    """One row of a table: per cent, with 95 % intervals."""
    per_cent = {key: 100 * np.array(value) for key, value in numbers.items() if key.startswith(("ciou", "auc", "mean"))}
    scores = "".join(
        f"{per_cent[key]:5.2f} [{per_cent[f'{key}_95'][0]:5.2f}, {per_cent[f'{key}_95'][1]:5.2f}]".ljust(24)
        for key in ("ciou", "auc")
    )
    return f"{scores}{per_cent['mean_iou']:8.2f} {per_cent['ciou_0.3']:8.2f} {numbers['predicted_area']:5.2f}"


def further_tables(results):
    """Lines for the screen of what FURTHER measures found: a line for each part of one, after its own numbers."""
    lines = []
    for name in (name for name in FURTHER if name in results):
        lines += ["", name.replace("_", " ")]
        for part, numbers in parts_of(results[name]).items():
            lines.append(f"  {part}{part and ': '}{named(numbers)}")
    return lines


def named(numbers):
    """One line of named numbers, without their intervals."""
    return ", ".join(f"{key} {value:.4g}" for key, value in numbers.items() if not isinstance(value, list))


def parts_of(numbers):
    """Nested dicts of numbers -> {path: numbers}, the numbers at the top under ""; a path is names joined by ", "."""
    found, own = {}, {key: value for key, value in numbers.items() if not isinstance(value, dict)}
    if own:
        found[""] = own
    for name, part in numbers.items():
        if isinstance(part, dict):
            inner = parts_of(part).items()
            found |= {f"{name}, {path}" if path else name: values for path, values in inner}
    return found
