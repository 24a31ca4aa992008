"""Sounds that are not the image's: extended sets, several sources, negative audio, retrieval, and the object prior."""

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid
from torch import nn

from dataset.benchmarks.annotations import GT_SIZE, vggss_map
from dataset.benchmarks.index import BenchmarkIndex
from dataset.benchmarks.test_sets import TestSet
from dataset.frontends import FRONT_ENDS
from models.sacl import SACL
from models.torchvision_ops import torchvision
from utils.evaluation.detection import confidence, detection_scores, interactive_scores
from utils.evaluation.evaluate import build_test_loader, evaluate
from utils.evaluation.metrics import min_max
from utils.evaluation.negative_audio import NegativeAudio
from utils.evaluation.object_prior import ObjectPrior
from utils.evaluation.retrieval import Retrieval, recall_at
from utils.evaluation.sounds import encode_sounds

CPU = torch.device("cpu")


def slow_detection(ious, confidences, sounding, misplaced_missed):
    """AP and max-F1, item by item and threshold by threshold."""

    def at(threshold):
        right = false = missed = 0
        for iou, sure, sounds in zip(ious, confidences, sounding, strict=True):
            if sure >= threshold:
                right += sounds and iou >= 0.5
                false += not (sounds and iou >= 0.5)
                missed += misplaced_missed and sounds and iou < 0.5
            else:
                missed += sounds
        return right / (right + false) if right + false else 1, right / (right + missed) if right + missed else 1

    ordered = sorted(confidences)
    points = [at(threshold) for threshold in ordered[:-1][:: -max(1, len(ordered) // 200)]]
    ap = sum(max(p for p, _ in points[i:]) * (points[i + 1][1] - points[i][1]) for i in range(len(points) - 1))
    f1 = [2 * p * r / (p + r) if p + r else 0 for p, r in map(at, ordered[:: max(1, len(ordered) // 10)])]
    return ap, max(f1)


@pytest.mark.parametrize("count", [12, 450])
def test_detection_scores_are_their_definition(count):
    g = np.random.default_rng(count)
    ious, confidences, sounding = g.random(count), g.random(count).round(2), g.random(count) < 0.6
    scores = detection_scores(ious, confidences, sounding)
    assert scores["loc_acc"] == pytest.approx((ious[sounding] >= 0.5).mean())
    for name, misplaced_missed in (("", False), ("_misplaced_missed", True)):
        expected = slow_detection(ious, confidences, sounding, misplaced_missed)
        assert (scores[f"ap{name}"], scores[f"max_f1{name}"]) == pytest.approx(expected)


def test_only_the_stricter_scores_fall_with_bad_places():
    sounding = np.arange(400) % 2 == 0
    confidences = np.where(sounding, 0.9, 0.1) + np.linspace(0, 0.01, 400)
    good, bad = (detection_scores(np.full(400, iou), confidences, sounding) for iou in (0.9, 0.1))
    assert good["ap_misplaced_missed"] > 0.98 and good["max_f1_misplaced_missed"] > 0.9
    half = detection_scores(np.where(np.arange(400) % 4 == 0, 0.9, 0.1), confidences, sounding)
    assert half["max_f1"] > half["max_f1_misplaced_missed"] > bad["max_f1_misplaced_missed"] == 0


def test_confidence_is_the_mean_of_the_top_quarter():
    maps = np.random.default_rng(0).random((3, GT_SIZE, GT_SIZE), np.float32)
    expected = [np.sort(one, axis=None)[-one.size // 4 :].mean() for one in maps]
    assert confidence(maps) == pytest.approx(expected, rel=1e-4)


def test_an_image_counts_where_all_its_things_are_found():
    scores = interactive_scores(np.array([0.9, 0.6, 0.4, 0.8, 0.7]), ["a", "b", "a", "b", "c"])
    assert scores["images"] == 2 and scores["iiou"] == 0.5  # a has one of 0.4
    assert scores["images_with_single"] == 3 and scores["iiou_with_single"] == pytest.approx(2 / 3)
    reached = [np.mean([t <= 0.4, t <= 0.6]) for t in np.linspace(0, 1, 21)]
    assert scores["iauc"] == pytest.approx(trapezoid(reached, dx=0.05))


class OneHot(BenchmarkIndex):
    """Item i shows thing i in the quarter i % 4; the last ones, where there are any, hold nothing that sounds."""

    def __init__(self, count, silent):
        super().__init__([f"i{k}" for k in range(count)], [])
        self.sounding = [k < count - silent for k in range(count)] if silent else None

    def gt_map(self, index):
        x, y = (index % 4) % 2 / 2, (index % 4) // 2 / 2
        return vggss_map([(x, y, x + 0.5, y + 0.5)] if not self.sounding or self.sounding[index] else [])


class OneHotSet(TestSet):
    """Frames whose colour, and sounds whose first value, is the item's number; a silent item has another's sound."""

    audio_source = "made up"

    def __init__(self, count, silent=0):
        super().__init__(OneHot(count, silent), 32, FRONT_ENDS["log_mel"])

    def frame(self, index):
        return np.full((8, 8, 3), index, np.uint8)

    def audio(self, index):
        sound = index if not self.benchmark.sounding or self.benchmark.sounding[index] else (index + 1) % len(self)
        return torch.full((3, 1, 96, 64), float(sound))

    def find_missing(self):
        return {}


class Sees(nn.Module):
    """The one-hot vector of the item in its quarter, 8 x 8 places."""

    def forward(self, image):
        number = ((image[:, 0, 0, 0] * 0.229 + 0.485) * 255).round().long()
        features = torch.zeros(len(image), 16, 2, 2)
        features[:, 14] = 1  # background
        features.view(len(image), 16, 4)[torch.arange(len(image)), :, number % 4] = nn.functional.one_hot(
            number, 16
        ).float()
        return features.repeat_interleave(4, 2).repeat_interleave(4, 3)


class Hears(nn.Module):
    """The one-hot vector of the item's sound; of noise and silence, one that no image has."""

    def forward(self, audio):
        value = audio[:, 0, 0, 0, 0]
        known = (audio.flatten(1).std(dim=1) == 0) & (value >= 0)
        return None, nn.functional.one_hot(torch.where(known, value.long(), torch.tensor(15)), 16).float()


def look(test_set, model=None, **options):
    model = model or SACL(Sees(), Hears())
    sounds = encode_sounds(model, test_set, CPU, 4, 0)
    sound_tests = [
        NegativeAudio(model, test_set, sounds, CPU, seed=1),
        Retrieval(model, test_set.benchmark, sounds, 1000, 0),
    ]
    return evaluate(model, build_test_loader(test_set, 4, 0), CPU, sound_tests=sound_tests, **options), sound_tests


def test_a_model_that_hears_is_silent_without_its_sound_and_finds_its_pair():
    result, (negative, retrieval) = look(OneHotSet(9))
    assert result.summary()["ciou"] == 1
    numbers = negative.compute()["third_quartile"]
    assert numbers["threshold"] == 0 and numbers["own"]["ciou"] > 0.5 and numbers["own"]["share"] > 0.25
    for kind in ("silence", "noise", "other_clip"):
        found = numbers["own"]["ciou"]
        assert numbers[kind]["share"] == 0 and numbers[kind]["share_95"] == [0, 0] and numbers[kind]["share_auc"] == 1
        assert numbers[kind]["f"] == pytest.approx(2 * found / (1 + found))
    assert retrieval.compute() == {
        "n": 9,
        "image_to_sound": {"r1": 1, "r5": 1, "r10": 1},
        "sound_to_image": {"r1": 1, "r5": 1, "r10": 1},
    }


def test_negative_audio_is_its_definition():
    torch.manual_seed(0)

    class Blurry(Sees):
        def forward(self, image):
            g = torch.Generator().manual_seed(int((image[0, 0, 0, 0] * 1000).round()) % 999)
            return super().forward(image) + torch.rand(len(image), 16, 8, 8, generator=g)

    _, (negative, _) = look(OneHotSet(9), SACL(Blurry(), Hears()))
    numbers = negative.compute()
    maps = torch.stack([row for _, row in sorted(negative.rows, key=lambda row: row[0])])
    large = nn.functional.interpolate(maps, (GT_SIZE, GT_SIZE), mode="bilinear").numpy()
    maxima = [large[i, k].max() for i in range(9) for k in (1, 2, 3)]
    expected = {"third_quartile": np.quantile(maxima, 0.75), "max_less_10": 0.9 * max(maxima), "max": max(maxima)}
    for name, threshold in expected.items():
        assert numbers[name]["threshold"] == pytest.approx(threshold)
        for k, kind in enumerate(("silence", "noise", "other_clip"), start=1):
            shares = [(large[i, k] > np.float32(threshold)).mean() for i in range(9)]
            assert numbers[name][kind]["share"] == pytest.approx(np.mean(shares), abs=1e-5)
            curve = [np.mean([share <= t for share in shares]) for t in np.linspace(0, 1, 21)]
            assert numbers[name][kind]["share_auc"] == pytest.approx(trapezoid(curve, dx=0.05))
    assert 0 < numbers["third_quartile"]["silence"]["share"] < 0.2
    assert numbers["max"]["silence"]["share"] == 0 < numbers["max_less_10"]["silence"]["share"]


def test_items_in_which_nothing_sounds_count_as_false_alarms_only():
    result, (negative, retrieval) = look(OneHotSet(12, silent=4))
    summary = result.summary(["fixed0.5", "median"])
    assert summary["n"] == 8 and summary["ciou"] == 1 and summary["without_box"] == []
    assert summary["detection"]["loc_acc"] == 1 and summary["detection"]["max_f1"] > 0.8
    assert summary["rules"]["median"]["detection"]["loc_acc"] == summary["rules"]["median"]["ciou"]
    assert len(negative.rows) == 8 and retrieval.compute()["n"] == 8


class LooksAgain(SACL):
    """A method that sees another image for every sound, which it encodes in two parts."""

    def encode_sound(self, audio):
        unit = super().encode_sound(audio)
        return torch.cat([unit, unit.roll(1, dims=1)], dim=1)

    def similarity(self, vision, audio):
        unit, other = audio.chunk(2, dim=1)
        return super().similarity((vision - other[:, :, None, None]).abs(), unit)


def test_retrieval_asks_the_method_about_every_pair_of_the_gallery(monkeypatch):
    monkeypatch.setattr("utils.evaluation.retrieval.PAIRS", 4)
    model, test_set = LooksAgain(Sees(), Hears()), OneHotSet(12, silent=2)
    sounds = encode_sounds(model, test_set, CPU, 4, 0)
    retrieval = Retrieval(model, test_set.benchmark, sounds, items=7, seed=3)
    assert len(retrieval.gallery) == 7 and max(retrieval.gallery) < 10
    assert retrieval.gallery != Retrieval(model, test_set.benchmark, sounds, items=7, seed=4).gallery
    evaluate(model, build_test_loader(test_set, 5, 0), CPU, sound_tests=[retrieval])
    rows = dict(retrieval.rows)
    assert sorted(rows) == retrieval.gallery and retrieval.compute()["n"] == 7
    for place in retrieval.gallery:
        image = model.encode_image(test_set[place]["image"][None])
        slow = [model.similarity(image, sounds[other][None]).max() for other in retrieval.gallery]
        assert rows[place] == pytest.approx(torch.stack(slow).numpy())
    retrieval.rows = retrieval.rows[1:]  # an image that could not be read
    assert retrieval.compute()["n"] == 6


def test_items_that_are_not_there_lend_no_sound(monkeypatch):
    gone = {f"i{k}": "is missing" for k in (0, 3, 4, 8)}
    monkeypatch.setattr(OneHotSet, "find_missing", lambda self: gone)
    test_set = OneHotSet(9)
    result, (negative, retrieval) = look(test_set, skip_missing=True)
    assert not {f"i{k}" for k in negative.donors} & set(gone) and set(retrieval.gallery) == {1, 2, 5, 6, 7}
    assert negative.sounds[[0, 3, 4, 8]].isnan().all() and negative.sounds[[1, 2, 5, 6, 7]].isfinite().all()
    assert negative.compute()["third_quartile"]["other_clip"]["share"] == 0 and retrieval.compute()["n"] == 5


def test_ties_in_retrieval_are_drawn_by_lot():
    """A collapsed model finds as much as chance, however its ties are ordered."""
    names = np.arange(20)
    assert recall_at(5, np.ones((20, 20)), names) == pytest.approx(5 / 20)
    scores = np.random.default_rng(0).random((20, 20))
    slow = np.mean([i in np.argsort(-row)[:5] for i, row in enumerate(scores)])
    assert recall_at(5, scores, names) == pytest.approx(slow)
    assert recall_at(1, np.ones((4, 4)), np.array([0, 0, 1, 1])) == pytest.approx(1 / 3)


def test_the_object_prior_is_a_row_of_its_own(tmp_path):
    net = torchvision.models.resnet18()
    torch.save(net.state_dict(), tmp_path / "resnet.pth")
    prior = ObjectPrior(0.4, tmp_path / "resnet.pth")
    image, heat = torch.randn(2, 3, 64, 64), min_max(np.random.default_rng(0).random((2, GT_SIZE, GT_SIZE), np.float32))
    maps = prior.refine(image, heat)
    with torch.no_grad():
        features = nn.Sequential(*[*net.eval().children()][:-2])(image).abs().mean(1, keepdim=True)
    objects = min_max(nn.functional.interpolate(features, (GT_SIZE, GT_SIZE), mode="bilinear")[:, 0].numpy())
    assert maps["object_prior"] == pytest.approx(objects, abs=1e-4)
    assert maps["object_guided"] == pytest.approx(min_max(0.4 * heat + 0.6 * objects), abs=1e-4)
    plain, _ = look(OneHotSet(5))
    guided, _ = look(OneHotSet(5), prior=prior)
    assert set(guided.summary()["object_guided"]) == {"object_prior", "object_guided"}
    assert plain.summary() == {key: value for key, value in guided.summary().items() if key != "object_guided"}
    with pytest.raises(FileNotFoundError, match="test without --ogl"):
        ObjectPrior(0.4, tmp_path / "nowhere.pth")
