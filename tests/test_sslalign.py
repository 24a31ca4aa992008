"""SSLalign against the authors' values, with checkpoints as they are published, and without training."""

from argparse import Namespace

import numpy as np
import pytest
import seeded
import torch
from seeded import assert_near
from seeded_related import FOLDER, SHAPES, above_median, masks, stored_sounds
from torch.nn.functional import interpolate

from dataset.benchmarks.annotations import vggss_map
from dataset.frontends import log_spectrogram
from models.lvs import LVSLoss
from models.sslalign import SSLalign, build_model, build_objective
from utils.evaluation.evaluate import enlarge
from utils.evaluation.metrics import consensus_iou, min_max
from utils.evaluation.thresholds import GroundTruth, choose, score_maps

GOLDEN = np.load(FOLDER / "sslalign.npz")
PREFIX = "golden-pub/sslalign"


def middle_spectrogram(name, n=160000):
    """The middle 3 s of a sound that is repeated until it lasts 10 s, as the authors read it."""
    sound = np.tile(seeded.waveform(name, n), 160000 // n + 1)[:160000]
    return log_spectrogram(sound[56000:104000], overlap=353)


@pytest.fixture(scope="module")
def model():
    model = SSLalign()
    model.load_state_dict(seeded.weights(f"{PREFIX}/weights", SHAPES))
    return model.eval()


@pytest.fixture(scope="module")
def inputs():
    """Four images (4, 3, 224, 224) and log spectrograms (4, 1, 257, 299)."""
    sounds = stored_sounds("sslalign")
    if sounds is None:
        sounds = torch.from_numpy(np.stack([middle_spectrogram(f"{PREFIX}/wav{i}") for i in range(4)]))
    assert_near(sounds.flatten()[::2003], GOLDEN["e2e/aud__s2003"], 1e-5)
    return seeded.images(f"{PREFIX}/img"), sounds


@pytest.mark.parametrize("case, n", [("10s16k", 160000), ("short4s16k", 64000)])
def test_front_end(case, n):
    found = middle_spectrogram(f"{PREFIX}/fe/{case}/ch0", n)
    assert found.shape == (1, 257, 299)
    assert_near(found.ravel()[::610], GOLDEN[f"fe/{case}/spec__s610"], 1e-5)


@torch.no_grad()
def test_networks(model, inputs):
    assert_near(model.localize(*inputs)[:, None], GOLDEN["net/eval/A"], 1e-4)
    criterion = LVSLoss(published_diagonal=True)
    logits = criterion.logits(*criterion.pool(*model([inputs[0]], inputs[1])))
    assert_near(logits, GOLDEN["net/eval/logits"], 1e-4)


@pytest.mark.parametrize("testset", ["vggss", "flickr"])
@torch.no_grad()
def test_published_evaluation(testset, model, inputs):
    """Maps are enlarged in one of two ways. Above the median, or as many pixels as the boxes have, one less than here.
    The last item has no boxes."""
    maps = model.localize(*inputs)
    if testset == "vggss":
        heat = min_max(enlarge(maps, "abcd"))
    else:
        heat = min_max(interpolate(maps[:, None], (224, 224), mode="bilinear", align_corners=True)[:, 0].numpy())
    assert_near(heat.ravel()[::1010], GOLDEN[f"test/{testset}/av/pred__s1010"], 2e-3)
    mask, boxes = above_median(heat), GOLDEN["test/boxes"]
    gt = np.stack([vggss_map(boxes[boxes[:, 0] == clip, 1:]) for clip in range(3)] + [np.zeros((224, 224))])
    assert (gt.sum(axis=(1, 2)) == GOLDEN["test/gt_area"]).all()
    assert (mask != masks(GOLDEN, f"test/{testset}/av/median/mask_packed")).mean() <= 2e-3
    assert consensus_iou(mask, gt) == pytest.approx(GOLDEN[f"test/{testset}/av/median/ciou"], abs=2e-3)
    scores = score_maps(heat.astype(np.float32), GroundTruth(gt))
    for ours, theirs in {"median": "median", "adaptive": "adap"}.items():
        assert choose(scores, ours)[0] == pytest.approx(GOLDEN[f"test/{testset}/av/{theirs}/ciou"], abs=2e-3)
        shares = masks(GOLDEN, f"test/{testset}/av/{theirs}/mask_packed").mean(axis=(1, 2))
        assert choose(scores, ours)[1] == pytest.approx(shares, abs=2e-3)


def test_published_checkpoints(tmp_path):
    """{model_state_dict}, its keys without "module.", and with what only their training used."""
    expected, path = seeded.weights(f"{PREFIX}/weights", SHAPES), tmp_path / "ours_sup.pth.tar"
    heads = {"proj_v.weight": torch.zeros(3, 3), "predictor.0.bias": torch.zeros(3)}
    torch.save({"model_state_dict": expected | heads}, path)
    state = build_model(Namespace(weights=str(path))).state_dict()
    assert state.keys() == expected.keys() and all(torch.equal(state[key], expected[key]) for key in state)
    del expected["imgnet.bn1.bias"]
    torch.save({"model_state_dict": expected | heads}, path)
    with pytest.raises(ValueError, match=r"imgnet.bn1.bias is missing, 1 in all.*SSLalignment"):
        build_model(Namespace(weights=str(path)))


def test_training_is_refused():
    with pytest.raises(ValueError, match="training objective is not public"):
        build_objective(Namespace())
    with pytest.raises(ValueError, match="run test.py with --weights FILE"):
        build_model(Namespace(weights=None))
