"""Two results on their common items: python test.py compare A/results.json B/results.json"""

import csv
import json
from pathlib import Path

import numpy as np

from utils.evaluation.metrics import SUCCESS, bootstrap, own_areas

# What is compared, or does not change an item's score. Of the rules, those that both results have are compared.
MAY_DIFFER = ("n", "missing", "partial", "method", "image_size", "checkpoint", "code", "rules", "ogl")


def compare(first: str, second: str) -> list[str]:
    """Lines for the screen: for each rule of both results, the difference of the second to the first, with intervals.

    first, second: results.json of test.py, with per_sample.csv beside. Raises FileNotFoundError, or ValueError where
    the settings differ, naming them, or where no item is common.
    """
    results, tables = zip(*(read_result(path) for path in (first, second)), strict=True)
    prints = [result["fingerprint"] for result in results]
    rules = [rule for rule in prints[0]["rules"] if rule in prints[1]["rules"]]
    keys = sorted({*prints[0], *prints[1]} - {*MAY_DIFFER})
    different = [
        f"{key} ({prints[0].get(key)!r} and {prints[1].get(key)!r})"
        for key in keys
        if prints[0].get(key) != prints[1].get(key)
    ]
    if different:
        raise ValueError(
            f"{first} and {second} cannot be compared, they differ in {'; '.join(different)}: test both alike"
        )
    common = [item_id for item_id in tables[0] if item_id in tables[1]]
    if not common or not rules:
        raise ValueError(f"{first} and {second} have no {'rule' if common else 'item'} in common: test both alike")
    lines = [f"A {first}: {len(tables[0])} items", f"B {second}: {len(tables[1])} items, {len(common)} common"]
    for key in ("partial", "method", "image_size", "code"):
        a, b = (one.get(key) for one in prints)
        if a != b or (key == "partial" and a):
            lines.append(f"{key.replace('_', ' ')}: A {a}, B {b}")
    for rule in rules:
        pairs = np.array([[float(table[item_id][rule]) for item_id in common] for table in tables])
        lines += [f"rule {rule}", *compare_pairs(pairs)]
    return lines


def compare_pairs(pairs: np.ndarray, seed: int = 0) -> list[str]:
    """Lines of one rule: pairs (2, n) IoUs of the same items.

    The interval is a bootstrap over items of the mean of the differences. The sign tests (two-sided, exact) count the
    items on which one of both is better, by whether it succeeds and by its IoU.
    """
    from scipy.stats import binomtest  # late: it costs 0.5 s

    scores = {"cIoU": pairs >= SUCCESS, "AUC": own_areas(pairs), "mean IoU": pairs}
    differences = np.array([values[1].astype(float) - values[0] for values in scores.values()])
    bounds = bootstrap(differences, seed).T
    lines = []
    for (name, values), (low, high) in zip(scores.items(), bounds, strict=True):
        a, b = 100 * values.mean(axis=1)
        lines.append(f"  {name:9} A {a:6.2f}  B {b:6.2f}  B - A {b - a:+6.2f} [{100 * low:+.2f}, {100 * high:+.2f}]")
    for name, values in (("success", scores["cIoU"]), ("IoU", pairs)):
        better, worse = int((values[1] > values[0]).sum()), int((values[1] < values[0]).sum())
        p = binomtest(better, better + worse).pvalue if better + worse else 1.0
        lines.append(f"  sign test of {name}: B better on {better}, A on {worse}, p = {p:.3g}")
    return lines


def read_result(path: str) -> tuple[dict, dict[str, dict]]:
    """results.json, and {id: row} of the per_sample.csv beside it, of the items that have a score."""
    path = Path(path)
    table = path.with_name("per_sample.csv")
    for file in (path, table):
        if not file.is_file():
            raise FileNotFoundError(
                f"{file} is missing: name the results.json of python test.py, with its per_sample.csv"
            )
    try:
        result = json.loads(path.read_text())
        result["fingerprint"]["rules"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no results.json of test.py ({error!r}): test that checkpoint again") from None
    with open(table, newline="") as file:
        scored = [row for row in csv.DictReader(file) if row["iou"]]  # the others are frames in which nothing sounds
        return result, {row["id"]: row for row in scored}
