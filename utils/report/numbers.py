"""The report's numbers: from results.json and the items to tables for the page."""

import math

from utils.evaluation.baselines import ORACLE
from utils.evaluation.metrics import summarise
from utils.evaluation.thresholds import RULES
from utils.results.write import FURTHER, parts_of

HEADINGS = {
    "n": "n",
    "ciou": "cIoU",
    "auc": "AUC",
    "mean_iou": "mean IoU",
    "ciou_0.3": "cIoU@0.3",
    "predicted_area": "predicted area",
}
# Upper ends of box areas as shares of the frame, in SLAVC's classes: sides of 32, 96 and 144 pixels of 224.
SIZES = {"small": (32 / 224) ** 2, "medium": (96 / 224) ** 2, "large": (144 / 224) ** 2, "huge": 1.0}
NO_BOX = "no valid box"
ENOUGH = 10  # items from which on an interval is given
GUIDED = "object_guided"


def headline(results):
    """The score in one line."""
    spread = {key: "[{:.3f}, {:.3f}]".format(*results[f"{key}_95"]) for key in ("ciou", "auc")}
    return (
        f"{results['n']} items, rule {results['rule']}: cIoU {results['ciou']:.3f} {spread['ciou']}, "
        f"AUC {results['auc']:.3f} {spread['auc']}"
        + (f"; sounds: {results['fingerprint']['sounds']}" if results["fingerprint"]["sounds"] != "own" else "")
    )


def facts(results):
    """[[name, text], ...]: the method and the fingerprint, nested values with their path; rules are for the tables."""
    made_by = {key: value for key, value in results["fingerprint"].items() if key != "rules"}
    found = [["method", results["method"]], *_flatten("", made_by)]
    if results["without_box"]:
        named = ", ".join(results["without_box"][:20])
        found.append([NO_BOX, f"{len(results['without_box'])}, scored as missed: {named}"])
    return found


def _flatten(path, value):
    """Lines of a nested value: the names on the way to each part, and the part."""
    start = path and f"{path}, "
    if isinstance(value, dict):
        return [line for key, part in value.items() for line in _flatten(start + key.replace("_", " "), part)]
    if isinstance(value, list) and all(isinstance(part, dict) for part in value):  # files, by name
        rest = [(part["name"], {key: part[key] for key in part if key != "name"}) for part in value]
        return [line for name, part in rest for line in _flatten(start + name, part)]
    if value is None or isinstance(value, bool):
        value = {None: "none", True: "yes", False: "no"}[value]
    return [[path, str(value)]]


def tables(results):
    """For each rule a table, its rows the model and what there is without one, and what else was found by that rule;
    then what the measures found that have no rule."""
    found = []
    for rule, numbers in results["rules"].items():
        free = {**numbers["audio_free"], ORACLE: numbers[ORACLE]}
        rows = [_row("model", numbers), *(_row(name, values) for name, values in numbers.get(GUIDED, {}).items())]
        rows += [_row(name, values, free=True) for name, values in free.items()]
        found.append(_table(f"Rule {rule}: {RULES[rule]}", rows))
        if "detection" in numbers:
            found.append(_table(f"Rule {rule}, detection", [_row("model", numbers["detection"])]))
        if "several" in numbers:
            several = [_row(name, part, name in free) for name, part in numbers["several"].items()]
            found.append(_table(f"Rule {rule}, several", several))
    for name in (key for key in FURTHER if key in results):
        rows = [_row(part or "all", numbers) for part, numbers in parts_of(results[name]).items()]
        found.append(_table(name.replace("_", " "), rows))
    return found


def by_class(items, ious):
    """One row a class, the best first; none where the set does not tell classes."""
    return _groups("By class", [item["class"] for item in items], ious)


def by_size(items, ious):
    """One row a size of the ground truth, by the share of the frame that it covers."""

    def size(share):
        return next(name for name, most in SIZES.items() if share <= most) if share else NO_BOX

    content = _groups(
        "By size of the ground truth, in per cent of the frame", [size(item["box_area"]) for item in items], ious
    )
    content["rows"].sort(key=lambda row: [*SIZES, NO_BOX].index(row["name"]))
    for row in content["rows"]:
        if row["name"] in SIZES:
            row["name"] += f" (up to {SIZES[row['name']]:.0%})"
    return content


def _groups(title, names, ious):
    """A table of the items' IoUs by their group; items without one (None) are in none."""
    groups = {}
    for name, iou in zip(names, ious.tolist(), strict=True):
        if name is not None:
            groups.setdefault(name, []).append(iou)
    rows = [_row(name, _summary(values)) for name, values in groups.items()]
    rows.sort(key=lambda row: (-row["numbers"]["ciou"], -row["numbers"]["auc"], row["name"]))
    return _table(title, rows)


def _summary(ious):
    """n, cIoU and AUC, with intervals where there are items enough for them."""
    kept = ("n", "ciou", "auc", *(("ciou_95", "auc_95") if len(ious) >= ENOUGH else ()))
    numbers = summarise(ious)
    return {key: numbers[key] for key in kept}


def _table(title, rows):
    """For the page: columns are the numbers that any row has."""
    keys = dict.fromkeys(key for row in rows for key in row["numbers"] if not key.endswith("_95"))
    return {"title": title, "columns": [[key, HEADINGS.get(key, key.replace("_", " "))] for key in keys], "rows": rows}


def _row(name, numbers, free=False):
    """free: it has no model behind it."""
    kept = {key: value for key, value in numbers.items() if _is_number(value) or _is_interval(key, value)}
    return {"name": name.replace("_", " "), "free": free, "numbers": kept}


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_interval(key, value):
    return key.endswith("_95") and isinstance(value, list) and all(_is_number(end) for end in value)
