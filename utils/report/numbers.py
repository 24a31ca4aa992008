"""The report's numbers: from results.json and the items to the tables of the page."""

import math
from collections import defaultdict
from html import escape

import numpy as np

from utils.evaluation.baselines import BASELINES, ORACLE
from utils.evaluation.evaluate import describe
from utils.evaluation.metrics import summarise
from utils.evaluation.thresholds import RULES
from utils.results.write import FURTHER, parts_of

HEADINGS = {"ciou": "cIoU", "auc": "AUC", "mean_iou": "mean IoU", "ciou_0.3": "cIoU@0.3"}
# Upper ends of box areas as shares of the frame, in SLAVC's classes: sides of 32, 96 and 144 pixels of 224.
SIZES = {"small": (32 / 224) ** 2, "medium": (96 / 224) ** 2, "large": (144 / 224) ** 2, "huge": 1.0}
NO_BOX = "no valid box"
ENOUGH = 10  # items from which on an interval is given


def headline(results: dict) -> str:
    """The score in one line."""
    sounds = results["fingerprint"]["sounds"]
    score = f"{results['n']} items, rule {results['rule']}: {describe(results)}"
    return score if sounds == "own" else f"{score}; sounds: {sounds}"


def facts(results: dict) -> list[tuple[str, str]]:
    """(name, text) of the method and the fingerprint, nested values with their path; rules are for the tables."""
    made_by = {key: value for key, value in results["fingerprint"].items() if key != "rules"}
    found = [("method", results["method"]), *_flatten((), made_by)]
    if results["without_box"]:
        named = ", ".join(results["without_box"][:20])
        found.append((NO_BOX, f"{len(results['without_box'])}, scored as missed: {named}"))
    return found


def _flatten(path: tuple[str, ...], value: object) -> list[tuple[str, str]]:
    """Lines of a nested value: the names on the way to each part, and the part."""
    if isinstance(value, dict):
        return [line for key, part in value.items() for line in _flatten((*path, key.replace("_", " ")), part)]
    if isinstance(value, list) and all(isinstance(part, dict) for part in value):  # files, by name
        rest = [(part["name"], {key: part[key] for key in part if key != "name"}) for part in value]
        return [line for name, part in rest for line in _flatten((*path, name), part)]
    return [(", ".join(path), {"None": "none", "True": "yes", "False": "no"}.get(str(value), str(value)))]


def tables(results: dict) -> list[tuple[str, dict]]:
    """(title, {row: numbers}) for each rule: the model and the baselines, then detection and several objects where the
    set has them; then the measures that have no rule."""
    found = []
    for rule, numbers in results["rules"].items():
        rows = {"model": numbers, **numbers.get("object_guided", {}), **numbers["baselines"], ORACLE: numbers[ORACLE]}
        found.append((f"Rule {rule}: {RULES[rule]}", rows))
        if "detection" in numbers:
            found.append((f"Rule {rule}, detection", {"model": numbers["detection"]}))
        if "several" in numbers:
            found.append((f"Rule {rule}, several", numbers["several"]))
    for name in (key for key in FURTHER if key in results):
        found.append((name.replace("_", " "), {part or "all": row for part, row in parts_of(results[name]).items()}))
    return found


def by_class(items: list[dict], ious: np.ndarray) -> dict[str, dict]:
    """{class: numbers} of items and their (n,) IoUs, the best first; empty where the set has no classes."""
    groups = _groups([item["class"] for item in items], ious)
    return dict(sorted(groups.items(), key=lambda group: (-group[1]["ciou"], -group[1]["auc"], group[0])))


def by_size(items: list[dict], ious: np.ndarray) -> dict[str, dict]:
    """{size of the ground truth: numbers}, as of `by_class`; the size is the share of the frame."""

    def size(share: float) -> str:
        return next(f"{name} (up to {most:.0%})" for name, most in SIZES.items() if share <= most) if share else NO_BOX

    groups = _groups([size(item["box_area"]) for item in items], ious)
    return {name: groups[name] for name in [*map(size, SIZES.values()), NO_BOX] if name in groups}


def _groups(names: list[str | None], ious: np.ndarray) -> dict[str, dict]:
    """n, cIoU and AUC by name, with intervals where there are items enough for them."""
    groups = defaultdict(list)
    for name, iou in zip(names, ious.tolist(), strict=True):
        if name is not None:
            groups[name].append(iou)
    for name, group in groups.items():
        numbers = summarise(group)
        kept = ("n", "ciou", "auc", "ciou_95", "auc_95") if len(group) >= ENOUGH else ("n", "ciou", "auc")
        groups[name] = {key: numbers[key] for key in kept}
    return groups


def table(title: str, rows: dict[str, dict], bars: bool = False, links: bool = False) -> str:
    """HTML of {row: numbers}: a title and a table that scrolls on its own; columns are the numbers that any row has.

    bars: a bar of the cIoU ends each row. links: a row's name shows its class in the gallery.
    """
    keys = dict.fromkeys(key for numbers in rows.values() for key, value in numbers.items() if _is_number(value))
    heads = "".join(f'<th scope="col">{HEADINGS.get(key, key.replace("_", " "))}</th>' for key in keys)
    lines = ""
    for name, numbers in rows.items():
        label = escape(name if links else name.replace("_", " "))
        if links:
            label = f'<button type="button" class="link" title="Show in the gallery">{label}</button>'
        bar = f'<td aria-hidden="true"><progress value="{numbers["ciou"]:.3f}"></progress></td>' if bars else ""
        kind = "baseline" if name in (*BASELINES, ORACLE) else "model"
        cells = "".join(_cell(numbers, key) for key in keys)
        lines += f'<tr class="{kind}"><th scope="row">{label}</th>{cells}{bar}</tr>\n'
    return (
        f'<h3>{escape(title)}</h3>\n<div class="scroll" tabindex="0" role="region" aria-label="{escape(title)}"><table>'
        f"<thead><tr><th></th>{heads}{'<th></th>' * bars}</tr></thead>\n<tbody>\n{lines}</tbody></table></div>\n"
    )


def _cell(numbers: dict, key: str) -> str:
    value, interval = numbers.get(key), numbers.get(f"{key}_95")
    if not _is_number(value):
        return "<td>–</td>"
    spread = " <small>[{:.3f}, {:.3f}]</small>".format(*interval) if interval else ""
    return f"<td>{value if isinstance(value, int) else f'{value:.3f}'}{spread}</td>"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
