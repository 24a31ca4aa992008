"""The metric and the protocol against the authors' values, and in every corner where they could break."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dataset.benchmarks.annotations import GT_SIZE, draw_boxes, flickr_boxes, flickr_map, read_ids, vggss_map
from dataset.benchmarks.index import BenchmarkIndex
from dataset.benchmarks.test_sets import ShuffledSounds, TestSet, _Donors
from dataset.frontends import FRONT_ENDS
from utils.evaluation.evaluate import HEADLINE, build_test_loader, evaluate, heat_maps, score
from utils.evaluation.metrics import ciou, consensus_iou, min_max, own_areas, success_auc, summarise
from utils.evaluation.thresholds import choose

GOLDEN = Path(__file__).parent / "golden"
VALUES = json.loads((GOLDEN / "evaluation.json").read_text())
MAPS = np.load(GOLDEN / "ground_truth.npz")


@pytest.mark.parametrize("rule", ["fixed0.5", "median"])
@pytest.mark.parametrize(("kind", "boxes", "draw"), [
    ("vggss", VALUES["vggss_boxes_01"], vggss_map),
    ("flickr", VALUES["flickr_boxes_256px"], flickr_map),
])  # fmt: skip
def test_golden_scores(kind, boxes, draw, rule):
    gt = np.stack([draw(item) for item in boxes])
    assert np.array_equal(gt, MAPS["vggss"] if kind == "vggss" else MAPS["flickr_times2"] / 2)
    heat = heat_maps(torch.tensor(VALUES["similarity_maps"]), list(range(12)))
    scored = score(list(range(12)), heat, gt)
    ious = choose(np.stack([item["scores"]["model"] for item in scored]), rule)[0]
    expected = VALUES["results"][f"{kind}_{rule}"]
    assert ious == pytest.approx(expected["iou"], abs=1e-4)
    assert ciou(ious) == pytest.approx(expected["ciou"], abs=1e-4)
    assert success_auc(ious) == pytest.approx(expected["auc"], abs=1e-4)
    if rule == HEADLINE:
        assert [item["iou"] for item in scored] == pytest.approx(ious)


def test_consensus_iou_of_one_map_is_the_plain_formula():
    g = np.random.default_rng(0)
    pred, gt = g.random((20, 30)) > 0.5, g.choice([0, 0.5, 1], (20, 30))
    expected = sum(gt[y, x] for y in range(20) for x in range(30) if pred[y, x])
    expected /= gt.sum() + sum(1 for y in range(20) for x in range(30) if pred[y, x] and gt[y, x] == 0)
    assert consensus_iou(pred, gt) == pytest.approx(expected)
    assert isinstance(consensus_iou(pred, gt), float)
    assert consensus_iou(pred, np.zeros_like(gt)) == 0  # no valid box
    assert consensus_iou(pred & False, np.zeros_like(gt)) == 0  # and nothing predicted


def test_a_constant_map_predicts_nothing():
    assert (min_max(np.full((2, 4, 4), 0.3, np.float32)) == 0).all()


def test_each_items_own_area_is_its_share_of_the_area():
    ious = np.concatenate([np.random.default_rng(0).random(50), np.linspace(0, 1, 21), [0.0499, 0.9999]])
    assert own_areas(ious) == pytest.approx([success_auc([iou]) for iou in ious])
    assert own_areas(ious).mean() == pytest.approx(success_auc(ious))


def test_summary_intervals_hold_the_estimate_and_narrow_with_n():
    g = np.random.default_rng(1)
    small, large = summarise(g.random(50)), summarise(g.random(5000))
    for numbers in (small, large):
        for key in ("ciou", "auc", "mean_iou", "ciou_0.3"):
            assert numbers[f"{key}_95"][0] < numbers[key] < numbers[f"{key}_95"][1]
    assert np.ptp(large["ciou_95"]) < np.ptp(small["ciou_95"]) / 5
    assert summarise([0.2] * 3)["ciou_95"] == [0, 0]
    # 95 % of intervals hold the truth: the share of U(0, 1) above 0.5 is 0.5
    held = [low <= 0.5 <= high for low, high in (summarise(g.random(200))["ciou_95"] for _ in range(100))]
    assert 85 <= sum(held) <= 100
    with pytest.raises(ValueError, match="no item"):
        summarise([])


def test_boxes_are_cut_to_pixels_and_to_the_frame():
    assert draw_boxes([(0.5, 0.25, 0.999, 2)]).sum() == (223 - 112) * (224 - 56)
    assert draw_boxes([(-2.88e16, 0.1, -2.88e16, 0.5)]).sum() == 0  # a value found in VGG-SS
    assert draw_boxes([(0.6, 0.1, 0.4, 0.5)]).sum() == 0  # inverted
    assert flickr_map([(0, 0, 256, 256), (0, 0, 128, 256)]).mean() == 0.75
    assert flickr_map([(0, 0, 256, 256)] * 3).mean() == 1


def test_flickr_xml(tmp_path):
    box = "<bbox><label>x</label><xmin>10</xmin><ymin>20</ymin><xmax>110</xmax><ymax>220</ymax></bbox>"
    path = tmp_path / "1.xml"
    path.write_text(f"<a><object>{box}</object><object><name>nothing seen</name></object></a>")
    with pytest.warns(UserWarning, match="1.xml: an object without bbox is skipped"):
        assert flickr_boxes(path) == [(10, 20, 110, 220)]
    path.write_text("<a><object>")
    with pytest.raises(ValueError, match="1.xml"):
        flickr_boxes(path)
    with pytest.raises(FileNotFoundError, match="2.xml"):
        flickr_boxes(tmp_path / "2.xml")


def test_id_lists(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("a_1,202\nb,\n")
    assert read_ids(path) == ["a_1", "b"]
    for text, message in (("../../secret\n", "cannot be an id"), ("a\na\n", "names a twice"), ("\n", "holds no id")):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_ids(path)
    with pytest.raises(FileNotFoundError, match="metadata.download"):
        read_ids(tmp_path / "missing.csv")


class Quarters(BenchmarkIndex):
    """Boxes around one quarter after the other; the item "no box" has none."""

    def __init__(self, ids, classes, silent):
        super().__init__(ids, [])
        self.classes, self.silent = classes, silent

    def gt_map(self, index):
        x, y = (index % 4) % 2 / 2, (index % 4) // 2 / 2
        return vggss_map([] if self.ids[index] == "no box" else [(x, y, x + 0.5, y + 0.5)])


class Toy(TestSet):
    """Grey frames; the sound's first value names the quarter. Item "bad" cannot be read."""

    audio_source = "made up"

    def __init__(self, ids, classes=None, silent=None):
        super().__init__(Quarters(ids, classes, silent), 32, FRONT_ENDS["log_mel"])

    def frame(self, index):
        if self.ids[index] == "bad":
            raise ValueError("bad.jpg cannot be read")
        return np.zeros((64, 64, 3), np.uint8)

    def audio(self, index):
        return torch.full((3, 1, 96, 64), float(index % 4))

    def find_missing(self):
        return {"lost": "lost.jpg is missing"} if "lost" in self.ids else {}


class Ears(nn.Module):
    """Points at the quarter that the sound names; with deaf=True nowhere."""

    def __init__(self, deaf=False, value=1.0):
        super().__init__()
        self.deaf, self.value = deaf, value

    def localize(self, image, audio):
        maps = torch.zeros(len(image), 2, 2)
        if not self.deaf:
            maps.view(-1, 4)[torch.arange(len(image)), audio[:, 0, 0, 0, 0].long()] = self.value
        return maps.repeat_interleave(7, 1).repeat_interleave(7, 2)


def run(test_set, model, **options):
    return evaluate(model, build_test_loader(test_set, 4, 0), torch.device("cpu"), **options)


def test_evaluation_of_a_model_that_listens():
    result = run(Toy([f"i{k}" for k in range(9)]), Ears(), num_visual=5)  # the last batch holds one
    assert [item["id"] for item in result.items] == [f"i{k}" for k in range(9)]
    assert result.summary()["ciou"] == 1 and result.summary()["n"] == 9
    assert result.summary()["baselines"]["whole_image"]["auc"] == pytest.approx(0.275)  # IoU 0.25: 6 thresholds of 21
    assert result.by_rule("median")["ciou"] == 1 and result.by_rule("median")["predicted_area"] == 0.5  # a tie of 3/4
    assert result.by_rule("median")["mean_iou"] == pytest.approx(result.by_rule("median")["oracle"]["mean_iou"])
    assert result.by_rule("adaptive")["mean_iou"] == pytest.approx(1, abs=0.1)
    assert [picture["id"] for picture in result.pictures] == [f"i{k}" for k in range(5)]
    assert result.pictures[0]["heat"].shape == (GT_SIZE, GT_SIZE)


def test_evaluation_in_its_corners():
    result = run(Toy(["a", "no box", "c"]), Ears())
    assert [item["iou"] > 0.9 for item in result.items] == [True, False, True]
    assert result.summary()["without_box"] == ["no box"] and result.items[1]["iou"] == 0
    assert run(Toy(["a", "b"]), Ears(deaf=True)).summary()["ciou"] == 0
    with pytest.raises(ValueError, match="a: its similarity map is not finite"):
        run(Toy(["a"]), Ears(value=float("nan")))
    with pytest.raises(ValueError, match="bad: bad.jpg cannot be read"):
        run(Toy(["a", "bad"]), Ears())
    with pytest.raises(ValueError, match="1 of 3 test items are missing, first lost: lost.jpg is missing"):
        run(Toy(["a", "b", "lost"]), Ears())
    partial = run(Toy(["a", "bad", "c"]), Ears(), skip_missing=True).summary()
    assert (
        partial["n"] == 2
        and partial["partial"]
        and partial["missing"] == [{"id": "bad", "error": "bad.jpg cannot be read"}]
    )
    with pytest.raises(ValueError, match="no item"):
        run(Toy(["bad"]), Ears(), skip_missing=True)


def test_shuffled_sounds_come_from_what_is_seen_but_silent():
    classes = ["cat", "dog", "bell", "cat", "dog", "bell"]
    silent = [["dog"], ["bell"], ["cat"], ["bell"], ["cat"], ["cow"]]
    shuffled = ShuffledSounds(Toy([f"i{k}" for k in range(6)], classes, silent), seed=3)
    assert [classes[donor] for donor in shuffled.donors[:5]] == ["dog", "bell", "cat", "bell", "cat"]
    assert classes[shuffled.donors[5]] != "bell"  # no cow in the set
    plain = ShuffledSounds(Toy([f"i{k}" for k in range(6)]), seed=3)
    assert all(donor != index for index, donor in enumerate(plain.donors))
    assert plain[2]["audio"][0, 0, 0, 0] == plain.donors[2] % 4
    assert ShuffledSounds(Toy(["alone"])).donors == [0]


class Listed(Toy):
    """So many items by name alone; none of them is read."""

    def __init__(self, count, classes=None, silent=None):
        super().__init__([f"i{k}" for k in range(count)], classes, silent)
        self.benchmark.images, self.benchmark.sounds = self.ids, self.ids


class Counting(np.ndarray):
    """An array that counts how many of its values were asked for."""

    values = 0

    def __getitem__(self, key):
        Counting.values += np.size(key)
        return np.asarray(self)[key]


def classes_of(kind, count):
    names = {"many": lambda k: str(k % 300), "one": lambda k: "a", "none": None}[kind]
    return names and [names(k) for k in range(count)]


@pytest.mark.parametrize("kind", ["many", "one", "none"])
def test_shuffling_takes_a_time_that_grows_with_the_items_alone(kind, monkeypatch):
    """Counted in values looked at, not in seconds: four times the items, four times the work."""
    build = _Donors.__init__

    def counted(self, benchmark, present):
        build(self, benchmark, present)
        self.sounds, self.classes = self.sounds.view(Counting), self.classes.view(Counting)

    monkeypatch.setattr(_Donors, "__init__", counted)
    work = {}
    for count in (2_000, 8_000):
        Counting.values = 0
        ShuffledSounds(Listed(count, classes_of(kind, count)))
        work[count] = Counting.values
    assert work[2_000] > 2_000 and work[8_000] < 8 * work[2_000], work


@pytest.mark.parametrize("kind", ["many", "one", "none"])
def test_no_item_of_a_large_set_keeps_its_sound_or_its_class(kind):
    count, classes = 20_000, classes_of(kind, 20_000)
    donors = ShuffledSounds(Listed(count, classes), seed=1).donors
    assert all(donor != index for index, donor in enumerate(donors)) and len(set(donors)) > count / 2
    if kind == "many":
        assert all(classes[donor] != classes[index] for index, donor in enumerate(donors))


def test_shuffled_sounds_of_fifty_thousand_items_with_silent_things():
    classes = classes_of("many", 50_000)
    silent = [[str((k + 1) % 300), str((k + 7) % 300)] for k in range(50_000)]
    donors = ShuffledSounds(Listed(50_000, classes, silent)).donors
    assert all(classes[donor] in silent[index] for index, donor in enumerate(donors))


def test_where_nearly_all_items_are_of_one_class_the_others_lend_their_sounds():
    classes = ["bird" if k in (3, 70) else "cat" for k in range(400)]
    donors = ShuffledSounds(Listed(400, classes)).donors
    assert all(classes[donor] != classes[index] for index, donor in enumerate(donors))
    assert {donors[k] for k in range(400) if classes[k] == "cat"} == {3, 70}
