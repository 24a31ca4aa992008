"""test.py compare: paired, on common items, under the same settings only."""

import json
import re

import numpy as np
import pytest

from utils.results.compare import compare, compare_pairs

SETTINGS = {
    "testset": "vggss",
    "upsampling": "bilinear to 224",
    "rules": {"fixed0.5": "", "median": ""},
    "n": 4,
    "code": "a",
}


def write_result(folder, ious, settings=SETTINGS):
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps({"fingerprint": settings}))
    lines = [f"{item_id},{iou},{iou},{iou / 2}" for item_id, iou in ious.items()]
    lines.append("silent,,,")  # nothing sounds there: it counts in neither
    (folder / "per_sample.csv").write_text("\n".join(["id,iou,fixed0.5,median", *lines]))
    return folder / "results.json"


def test_common_items_are_compared(tmp_path):
    first = write_result(tmp_path / "a", {"x": 0.4, "y": 0.7, "z": 0.2, "gone": 1})
    second = write_result(
        tmp_path / "b", {"z": 0.2, "y": 0.8, "x": 0.6}, SETTINGS | {"code": "b", "rules": {"fixed0.5": ""}}
    )
    text = "\n".join(compare(first, second))
    assert "4 items" in text and "3 items, 3 common" in text and "median" not in text
    assert re.search(r"cIoU +A +33.33 +B +66.67 +B - A \+33.33", text)
    assert "code: A a, B b" in text and "partial" not in text
    assert "sign test of success: B better on 1, A on 0, p = 1" in text
    assert "sign test of IoU: B better on 2, A on 0, p = 0.5" in text


def test_different_settings_are_refused_and_named(tmp_path):
    first = write_result(tmp_path / "a", {"x": 0.4})
    second = write_result(tmp_path / "b", {"x": 0.4}, SETTINGS | {"testset": "is3"})
    with pytest.raises(ValueError, match=r"differ in testset \('vggss' and 'is3'\)"):
        compare(first, second)
    with pytest.raises(ValueError, match="no item in common"):
        compare(first, write_result(tmp_path / "c", {"y": 1}))
    with pytest.raises(FileNotFoundError, match="nowhere.json is missing"):
        compare(first, tmp_path / "nowhere.json")
    (tmp_path / "a" / "results.json").write_text("{}")
    with pytest.raises(ValueError, match="no results.json of test.py"):
        compare(first, second)


def test_pairing_sees_what_two_intervals_would_not():
    """A small gain on every item, far below the spread between the items."""
    ious = np.random.default_rng(0).uniform(0, 0.9, 300)
    lines = compare_pairs(np.stack([ious, ious + 0.01]))
    low, high = map(float, re.search(r"mean IoU.*\[(.*), (.*)\]", "\n".join(lines)).groups())
    assert 0.9 <= low <= 1.0 <= high <= 1.1
    same = compare_pairs(np.stack([ious, np.random.default_rng(1).permutation(ious)]))
    low, high = map(float, re.search(r"mean IoU.*\[(.*), (.*)\]", "\n".join(same)).groups())
    assert low < 0 < high
