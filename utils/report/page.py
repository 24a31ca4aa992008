"""report.html: one page, with everything in it, that opens by double click and needs no network."""

import base64
import json
import math
from pathlib import Path

import numpy as np

from dataset.storage.atomic import replacing
from utils.evaluation.baselines import AUDIO_FREE, ORACLE
from utils.evaluation.thresholds import choose
from utils.report.illustration import SOUND_TYPE, Illustrated
from utils.report.numbers import by_class, by_size, facts, headline, tables

__all__ = ["Illustrated", "save_report"]

HERE = Path(__file__).parent


def save_report(path, results, evaluation):
    """Writes the page of an Evaluation of an Illustrated test set; results: what results.json holds.

    The items are written one by one, the worst by the headline's rule first: so the page that opens first is there
    before the rest of the file is read. Items in which nothing sounds have no IoU (null), and come last.
    """
    silent = [item["sounding"] is False for item in evaluation.items]
    scores = {rule: choose(evaluation.scores["model"], rule)[:2] for rule in results["rules"]}
    ious = {rule: np.where(silent, np.nan, values) for rule, (values, _) in scores.items()}
    others = {
        name.replace("_", " "): np.where(silent, np.nan, choose(evaluation.scores[name], results["rule"])[0])
        for name in (*AUDIO_FREE, ORACLE)
    }
    order = ious[results["rule"]].argsort(kind="stable")  # NaN goes to the end
    items = [evaluation.items[i] for i in order]

    def column(values):
        return [None if math.isnan(value) else round(value, 5) for value in values[order].tolist()]

    head, tail = _template().split("<!-- items -->\n")
    scored = items[: silent.count(False)], ious[results["rule"]][order][: silent.count(False)]
    data = {
        "title": f"Sound source localisation on {results['testset']}",
        "headline": headline(results),
        "facts": facts(results),
        "partial": results["missing"],
        "tables": tables(results),
        "sizes": by_size(*scored),
        "classes": by_class(*scored),
        "rule": results["rule"],
        "soundType": SOUND_TYPE,
        "items": {
            "id": [item["id"] for item in items],
            "class": [item["class"] or "" for item in items],
            "share": [round(item["box_area"], 5) for item in items],
            "ious": {rule: column(values) for rule, values in ious.items()},
            "areas": {rule: column(areas) for rule, (_, areas) in scores.items()},
            "others": {name: column(values) for name, values in others.items()},
        },
    }
    with replacing(path, "w", encoding="utf-8") as file:
        file.write(head.replace("/* data */", _embed(data)))
        for i, item in enumerate(items):
            heat = {"heat": base64.b64encode(item["similarity"].astype("<f4").tobytes()).decode("ascii")}
            heat["grid"] = item["similarity"].shape
            # The illustration is JSON of numbers and base64: it goes in as it is, without being parsed again.
            text = f'{_embed(heat)[:-1]}, "illustration": {item["illustration"]}}}'
            file.write(f'<script type="application/json" id="item{i}">{text}</script>\n')
        file.write(tail)


def _template():
    """The page with its style and its script inside."""
    page = (HERE / "page.html").read_text(encoding="utf-8")
    for name in ("page.css", "charts.js", "maps.js", "gallery.js"):
        page = page.replace(f"/* {name} */\n", (HERE / name).read_text(encoding="utf-8"))
    return page


def _embed(value):
    """JSON that cannot end the script element it stands in, whatever the ids and classes are."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")
