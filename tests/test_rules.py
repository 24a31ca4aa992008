"""Every threshold rule against the slow procedure written from its definition, and the baselines without a model."""

from pathlib import Path

import numpy as np
import pytest

from dataset.benchmarks.annotations import GT_SIZE, read_ids, vggss_boxes, vggss_map
from utils.evaluation.baselines import BASELINES, ORACLE, gaussian_map, score_baselines
from utils.evaluation.metrics import ciou, consensus_iou, min_max, success_auc
from utils.evaluation.thresholds import COLUMNS, PIXELS, RULES, SWEEP, WIDTH, GroundTruth, choose, score_maps

PUBLIC = Path(__file__).parents[2] / "shared" / "metadata"


def make_maps(count, seed=0):
    """Smooth heat maps, and consensus maps of two boxes; the last but one item has none, the last one everything."""
    g = np.random.default_rng(seed)
    heat = g.random((count, 7, 7), np.float32).repeat(32, 1).repeat(32, 2) + g.random((count, GT_SIZE, GT_SIZE)) / 9
    gt = np.zeros((count, GT_SIZE, GT_SIZE), np.float32)
    for item in gt[:-2]:
        for _ in range(2):
            top, left, height, width = g.integers(5, 150, 4)
            item[top : top + height, left : left + width] += 0.5
    gt[-1] = 1
    return min_max(heat.astype(np.float32)), gt


def top(heat, area):
    """The `area` hottest pixels of a map without ties."""
    return heat >= np.sort(heat, axis=None)[-area]


def test_every_rule_is_its_definition():
    heat, gt = make_maps(6)
    scores = score_maps(heat, GroundTruth(gt))
    assert scores.shape == (6, 2, WIDTH)
    for i in range(6):
        marked = np.count_nonzero(gt[i])
        regions = {
            "fixed0.5": [heat[i] >= 0.5],
            "fixed0.6": [heat[i] >= 0.6],
            "median": [heat[i] > np.median(heat[i])],
            "adaptive": [top(heat[i], marked or PIXELS // 2)],
            "sweep": [heat[i] >= threshold for threshold in np.linspace(0.05, 0.95, 19)],
        }
        assert set(regions) == set(RULES) == set(COLUMNS)
        for rule, expected in regions.items():
            ious, areas = scores[i, :, COLUMNS[rule]]
            assert ious == pytest.approx([consensus_iou(region, gt[i]) for region in expected], abs=1e-6)
            assert areas == pytest.approx([region.mean() for region in expected], abs=1e-6)


def test_tied_pixels_are_taken_in_part_so_that_the_area_is_right():
    """Lower three quarters of the map are one constant: with `>` it would predict a quarter, with `>=` all."""
    heat = np.zeros((2, GT_SIZE, GT_SIZE), np.float32)
    heat[:, : GT_SIZE // 4] = 1
    gt = np.stack([vggss_map([(0, 0, 1, 0.25)]), vggss_map([(0, 0.5, 1, 1)])])
    ious, areas, _ = choose(score_maps(heat, GroundTruth(gt)), "median")
    assert areas == pytest.approx(0.5)
    assert ious == pytest.approx([0.25 / 0.5, (0.25 * 2 / 3) / (0.5 + 0.25 + 0.25 * 1 / 3)])
    constant = score_maps(np.zeros_like(heat), GroundTruth(gt))
    assert choose(constant, "median")[0] == pytest.approx([0.125 / (0.25 + 0.375), 0.25 / 0.75])
    assert (constant[:, :, COLUMNS["fixed0.5"]] == 0).all()  # no peak: nothing is predicted


def test_the_sweep_takes_one_threshold_for_the_whole_set():
    heat, gt = make_maps(40)
    scores = score_maps(heat, GroundTruth(gt))
    ious, _, threshold = choose(scores, "sweep")
    candidates = [consensus_iou(heat >= np.float32(t), gt) for t in SWEEP]
    assert ciou(ious) == max(map(ciou, candidates)) and threshold in SWEEP
    equal = [success_auc(one) for one in candidates if ciou(one) == ciou(ious)]
    assert success_auc(ious) == pytest.approx(max(equal))


def test_predictors_are_their_definitions():
    _, gt = make_maps(6, seed=1)
    truth = GroundTruth(gt)
    scores = score_baselines(truth)
    assert set(scores) == {*BASELINES, ORACLE}
    square = np.zeros((GT_SIZE, GT_SIZE), bool)
    square[33:191, 33:191] = True  # 158 pixels: the whole square nearest to half of the image
    expected = {
        "whole_image": np.ones_like(square),
        "centred_square": square,
        "centred_gaussian": gaussian_map(80) >= 0.5,
    }
    for name, region in expected.items():
        assert choose(scores[name], "fixed0.5")[0] == pytest.approx(
            consensus_iou(np.tile(region, (6, 1, 1)), gt), abs=1e-6
        )
    offset = np.arange(GT_SIZE) - 111.5
    heat = min_max(-np.sqrt(offset**2 + offset[:, None] ** 2))[None].repeat(6, 0).astype(np.float32)
    for rule in ("median", "adaptive"):  # the disc is what these rules make of any map that falls off from the middle
        for one, other in zip(
            choose(scores["centred_disc"], rule)[:2], choose(score_maps(heat, truth), rule)[:2], strict=True
        ):
            assert one == pytest.approx(other, abs=2e-3)  # what ties exactly differs by rounding
    assert choose(scores["centred_disc"], "fixed0.6")[1] == pytest.approx(0.5)
    for name, ring in (("centred_square", 892), ("centred_disc", 16)):  # a threshold covers its share, to half a ring
        assert scores[name][:, 1, COLUMNS["sweep"]] == pytest.approx(np.tile(1 - SWEEP, (6, 1)), abs=ring / 2 / PIXELS)
        assert (scores[name][:, :, COLUMNS["fixed0.6"]] == scores[name][:, :, COLUMNS["median"]]).all()


def test_no_map_beats_the_oracle():
    heat, gt = make_maps(20)
    truth = GroundTruth(gt)
    oracle = score_baselines(truth)[ORACLE]
    for candidate in (heat, min_max(gt + heat / 9), gt):
        scores = score_maps(candidate, truth)
        assert (scores[:, 0] <= oracle[:, 0] + 1e-6).all()
    best = choose(score_maps(gt, truth), "median")[0]  # the ground truth as heat map is the best map
    assert choose(oracle, "median")[0] == pytest.approx(best)
    assert choose(oracle, "fixed0.5")[0] == pytest.approx([1] * 18 + [0, 1])


@pytest.fixture(scope="module")
def public_scores():
    """A function: scores of the predictors on a public list."""
    if not PUBLIC.is_dir():
        pytest.skip("the public lists are not at hand (python -m metadata.download)")
    boxes = vggss_boxes(PUBLIC / "vggss_test_5158.json")

    def of(name, sigma=80):
        gt = np.stack([vggss_map(boxes[item_id]["bbox"]) for item_id in read_ids(PUBLIC / name)])
        parts = [score_baselines(GroundTruth(gt[i : i + 64]), sigma) for i in range(0, len(gt), 64)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    return of


def test_the_public_list_without_a_model(public_scores):
    """The published reference numbers of VGG-SS 5,158, in per cent."""
    scores = public_scores("vggss_test_5158.csv")
    expected = {
        ("whole_image", "median"): (21.95, 31.25),
        ("centred_square", "median"): (31.72, 36.93),
        ("centred_disc", "median"): (34.02, 37.44),
        ("centred_disc", "adaptive"): (43.66, 42.92),
        ("centred_gaussian", "fixed0.5"): (32.96, 37.19),
        ("centred_gaussian", "fixed0.6"): (22.78, 35.48),
        (ORACLE, "median"): (50.54, 49.47),
    }
    for (name, rule), numbers in expected.items():
        ious = choose(scores[name], rule)[0]
        assert (100 * ciou(ious), 100 * success_auc(ious)) == pytest.approx(numbers, abs=0.05)
    narrow = choose(public_scores("vggss_test_5158.csv", sigma=60)["centred_gaussian"], "fixed0.6")[0]
    assert (100 * ciou(narrow), 100 * success_auc(narrow)) == pytest.approx((12.23, 31.02), abs=0.05)
