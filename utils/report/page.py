"""report.html: one page that holds everything it shows, opens by double click and needs no network."""

import base64
import json
import math
from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template

import matplotlib
import numpy as np

from dataset.storage.atomic import replacing
from utils.evaluation.baselines import BASELINES, ORACLE
from utils.evaluation.evaluate import Evaluation
from utils.evaluation.thresholds import choose
from utils.report.charts import draw_curves, draw_histogram
from utils.report.numbers import by_class, by_size, facts, headline, table, tables

OPACITY = np.linspace(0.12, 1, 256)  # of the heat map by its value: where it is low, the frame stays visible


def save_report(path: Path, results: dict, evaluation: Evaluation) -> None:
    """Writes the page of an Evaluation of an Illustrated test set; results: the content of results.json.

    The items are written one by one, the worst by the headline's rule first: the browser shows the first ones before it
    has read the rest of the file. Silent items have no IoU (null) and come last.
    """
    rule, silent = results["rule"], [item["sounding"] is False for item in evaluation.items]
    scores = {name: choose(evaluation.scores["model"], name)[:2] for name in results["rules"]}
    ious = {name: np.where(silent, np.nan, values) for name, (values, _) in scores.items()}
    order = ious[rule].argsort(kind="stable")  # NaN goes to the end
    items, count = [evaluation.items[i] for i in order], silent.count(False)
    others = {
        name.replace("_", " "): np.where(silent, np.nan, choose(evaluation.scores[name], rule)[0])
        for name in (*BASELINES, ORACLE)
    }
    scored = {name: values[order[:count]] for name, values in {"model": ious[rule], **others}.items()}

    def column(values: np.ndarray) -> list[float | None]:
        return [None if math.isnan(value) else round(value, 5) for value in values[order].tolist()]

    data = {
        "rule": rule,
        "colours": _base64(matplotlib.colormaps["inferno"](range(256), alpha=OPACITY, bytes=True)),
        "id": [item["id"] for item in items],
        "class": [item["class"] or "" for item in items],
        "share": [round(item["box_area"], 5) for item in items],
        "ious": {name: column(values) for name, values in ious.items()},
        "areas": {name: column(areas) for name, (_, areas) in scores.items()},
        "others": {name: column(values) for name, values in others.items()},
    }
    first, *more = [table(*content) for content in tables(results)]
    sizes, classes = (group(items[:count], scored["model"]) for group in (by_size, by_class))
    page = Template(_read("page.html")).substitute(
        style=_read("page.css"),
        script=_read("gallery.js"),
        title=escape(f"Sound source localisation on {results['testset']}"),
        headline=escape(headline(results)),
        partial=_partial(results["missing"]),
        facts="".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts(results)),
        rule=rule,
        table=first,
        count=str(len(more)),
        more="".join(more),
        curves=draw_curves(scored),
        histogram=draw_histogram(scored["model"]),
        sizes=table("By size of the ground truth, in per cent of the frame", sizes, bars=True),
        classes=table("By class", classes, bars=True, links=True) if classes else "",
        class_options=_options(sorted(classes)),
        rule_options=_options(ious),
        data=_embed(data),
    )
    head, tail = page.split("<!-- items -->\n")
    with replacing(path, "w", encoding="utf-8") as file:
        file.write(head)
        for i, item in enumerate(items):
            heat = {"heat": _base64(item["similarity"].astype("<f4")), "grid": item["similarity"].shape}
            # The illustration is JSON of numbers and base64: it is inserted without being parsed again.
            text = f'{_embed(heat)[:-1]}, "illustration": {item["illustration"]}}}'
            file.write(f'<script type="application/json" id="item{i}">{text}</script>\n')
        file.write(tail)


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _options(names: Iterable[str]) -> str:
    return "".join(f"<option>{escape(name)}</option>" for name in names)


def _partial(missing: list[dict]) -> str:
    """HTML: the items that could not be read."""
    if not missing:
        return ""
    lines = "".join(f"<li>{escape(item['id'])}: {escape(item['error'])}</li>" for item in missing)
    return (
        f"<strong>Partial result: {len(missing)} of the items could not be read and are not scored.</strong>"
        f"<details><summary>Which</summary><ul>{lines}</ul></details>"
    )


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")


def _embed(value: object) -> str:
    """JSON that cannot end the script element around it, whatever the ids and classes are."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")
