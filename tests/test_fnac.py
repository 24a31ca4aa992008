"""FNAC against the authors' values, and as one of several processes."""

import random
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import seeded
import torch
from batch_in_parts import losses_with_local_negatives
from seeded import assert_near
from test_ezvsl import SHAPES, assert_published_scores, ground_truth, object_prior
from test_ezvsl import published_map as bilinear_map
from test_slavc import GivenMasks
from torch.nn.functional import interpolate

from dataset.augment.parameters import AUGMENTATIONS
from dataset.augment.spectrograms import AUDIO_MASKS, mask_bands
from dataset.train_set import Arrays, TrainSet
from models.ezvsl import EZVSL
from models.fnac import FNACLoss, FNACObjective, build_model
from utils.evaluation.metrics import min_max

GOLDEN = np.load(Path(__file__).parent / "golden" / "fnac.npz")
PREFIX = "golden-pub/fnac"


def seeded_model(dtype=torch.float32, dropout_img=0.0):
    model = EZVSL(dropout_img)
    model.load_state_dict(seeded.weights(f"{PREFIX}/weights", SHAPES))
    return model.to(dtype)


@pytest.fixture(scope="module")
def inputs():
    """Four images (4, 3, 224, 224) and log spectrograms (4, 1, 257, 200)."""
    return seeded.inputs(PREFIX, GOLDEN)


def terms_of(criterion, vision, audio):
    """EZ-VSL's loss, FNS-1, TNS and FNS-2."""
    cosines = criterion.cosines(vision, audio)
    terms = [criterion.contrast(cosines), *criterion.false_negative_terms(cosines, vision, audio)]
    return [term.item() for term in terms]


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_networks(mode, inputs):
    model = seeded_model(dropout_img=0.9 if mode == "eval" else 0.0).train(mode == "train")
    with torch.no_grad():
        terms = terms_of(FNACLoss(), *model([inputs[0]], inputs[1]))
        assert terms == pytest.approx(GOLDEN[f"net/{mode}/loss"].tolist(), rel=1e-4)
        assert_near(model.localize(*inputs), GOLDEN[f"net/{mode}/Savl"] * 0.03, 1e-4)


@pytest.mark.parametrize("case", ["b8", "same_audio", "same_all"])
@pytest.mark.parametrize("stage", ["warm", "full"])
def test_loss(case, stage):
    vision, audio = (torch.from_numpy(GOLDEN[f"loss/{case}/{name}"]).requires_grad_() for name in ("img", "aud"))
    assert terms_of(FNACLoss(), vision, audio) == pytest.approx(GOLDEN[f"loss/{case}/terms"].tolist(), rel=1e-4)
    loss = FNACLoss()(vision, audio, warm_up=stage == "warm")
    loss.backward()
    assert loss.item() == pytest.approx(float(GOLDEN[f"loss/{case}/{stage}_loss"]), rel=1e-4)
    by_epoch = FNACObjective()((vision, audio), {"epoch": 4 if stage == "warm" else 5})[0]
    assert by_epoch.item() == loss.item()
    assert_near(vision.grad.flatten()[::7], GOLDEN[f"loss/{case}/{stage}_grad_img__s7"], 1e-4)
    assert_near(audio.grad, GOLDEN[f"loss/{case}/{stage}_grad_aud"], 1e-4)


def test_three_steps_in_float64(inputs):
    """Losses of three steps of Adam on one batch with weight decay and dropout, and gradients of the first."""
    model, inputs = seeded_model(torch.float64), [tensor.double() for tensor in inputs]
    model.img_dropout = GivenMasks(f"{PREFIX}/mask/e2e_full", torch.float64)
    optimizer = torch.optim.Adam(model.parameter_groups(Namespace(lr=1e-4)), weight_decay=1e-4)
    objective, losses = FNACObjective(), []
    # Elsewhere SciPy may round otherwise, and Adam makes more of it.
    same = np.array_equal(inputs[1].flatten()[::2003].float(), GOLDEN["e2e/aud__s2003"])
    for step in range(3):
        outputs = model([inputs[0]], inputs[1])
        loss, diagnostics = objective(outputs, {"epoch": 5})
        optimizer.zero_grad()
        loss.backward()
        terms = GOLDEN[f"e2e_full64/terms{step}"].tolist()
        assert terms_of(objective.criterion, *outputs) == pytest.approx(terms, rel=1e-6 if same else 1e-3)
        if not losses:
            assert all(number.value > number.limit for number in diagnostics.values())
            for key in (key for key in GOLDEN.files if key.startswith("e2e_full64/grad/")):
                gradient = model.get_parameter(key.split("/")[-1]).grad.flatten()
                numbers = [gradient.norm(), gradient.abs().mean(), gradient.abs().max(), *gradient[:5]]
                assert_near(numbers, GOLDEN[key], 1e-6)
        losses.append(loss.item())
        optimizer.step()
    assert losses == pytest.approx(GOLDEN["e2e_full64/loss_traj"].tolist(), rel=1e-6 if same else 1e-3)


@torch.no_grad()
def test_published_evaluation(inputs, tmp_path):
    gt = ground_truth(GOLDEN["test/boxes"])
    similarity = seeded_model().eval().localize(*inputs)
    heat, prior = (bilinear_map(maps) for maps in (similarity, object_prior(PREFIX, tmp_path)(inputs[0])))
    assert_published_scores(GOLDEN, "test/test/av", heat, gt)
    assert_published_scores(GOLDEN, "test/test/av_obj", min_max(0.4 * heat + 0.6 * prior), gt)
    bicubic = min_max(interpolate(similarity[:, None], (224, 224), mode="bicubic")[:, 0].numpy())
    assert_published_scores(GOLDEN, "test/test2/av", bicubic, gt)


def test_published_checkpoint_and_settings(tmp_path):
    expected = seeded.weights(f"{PREFIX}/weights", SHAPES)
    torch.save(
        {"model": {f"module.{key}": value for key, value in expected.items()}, "epoch": 3}, tmp_path / "best.pth"
    )
    model = build_model(Namespace(weights=tmp_path / "best.pth", dropout_img=0.9, dropout_aud=0.1))
    assert (model.img_dropout.p, model.aud_dropout.p) == (0.9, 0.1)
    assert all(torch.equal(value, expected[key]) for key, value in model.state_dict().items())


def bands(spectrogram):
    """First row, number of rows, first column and number of columns that are 0 in a spectrogram (F, T); -1 for none."""
    found = []
    for axis in (1, 0):
        masked = (spectrogram == 0).all(dim=axis).nonzero().flatten().tolist()
        assert not masked or masked == list(range(masked[0], masked[-1] + 1))
        found += [masked[0] if masked else -1, len(masked)]
    return found


def test_masked_bands():
    """The authors' draws give their bands; corrected, all rows are reached, and no band of times lies outside."""
    for seed, *expected in GOLDEN["fe/specaug"].tolist():
        drawn = random.Random(seed)
        draws = torch.tensor([[(drawn.randrange(n) + 0.5) / n for n in (200, 10, 257, 10)]])
        assert bands(mask_bands(torch.ones(1, 1, 257, 200), draws, swapped=True)[0, 0]) == expected
    spectrograms = torch.rand(200, 1, 257, 200) + 1
    draws = torch.rand(200, 4, generator=torch.Generator().manual_seed(0))
    draws[:, 1::2] = 0.15  # one row, one column
    for swapped in (False, True):
        masked = mask_bands(spectrograms, draws, swapped)
        found = np.array([bands(spectrogram[0]) for spectrogram in masked])
        assert set(found[:, 1]) == {1}
        assert 0.98 < found[:, 0].max() / (200 if swapped else 257) < 1
        assert (found[:, 3] == 0).mean() == pytest.approx(0.22 if swapped else 0, abs=0.05)
        kept = masked != 0
        assert torch.equal(masked[kept], spectrograms[kept])


def test_loss_and_gradients_do_not_depend_on_the_number_of_processes(tmp_path):
    one, two = losses_with_local_negatives(tmp_path, FNACObjective, {"epoch": 5})
    assert two != pytest.approx(one, rel=0.01)


class Rows:
    """An array as a TrainSet reads it."""

    def __init__(self, values):
        self.values, self.row_shape = values, values.shape[1:]

    def __len__(self):
        return len(self.values)

    def take(self, indices, dtype):
        return self.values[indices].astype(dtype, copy=False)


def test_masks_of_a_training_set():
    """Spectrograms are masked as seed, epoch and row say, and other methods' draws stay as they are."""
    frames, sounds = np.zeros((4, 256, 256, 3), np.uint8), np.ones((4, 1, 257, 200), np.float32)
    arrays = Arrays(Rows(frames), Rows(sounds), None, 4)
    plain, masked = (
        TrainSet(
            arrays, AUGMENTATIONS["crop_and_flip"], views=1, size=32, on_device=True, augment_audio=AUDIO_MASKS[name]
        )
        for name in ("none", "corrected")
    )
    whole, again, one = masked.__getitems__([0, 1, 2, 3]), masked.__getitems__([0, 1, 2, 3]), masked.__getitems__([2])
    assert (whole["audio"] == 0).any() and (sounds == 1).all()
    assert torch.equal(whole["audio"], again["audio"]) and torch.equal(whole["audio"][2:3], one["audio"])
    assert torch.equal(plain.__getitems__([0, 1, 2, 3])["draws"], whole["draws"])
    masked.start(1)
    assert not torch.equal(masked.__getitems__([0, 1, 2, 3])["audio"], whole["audio"])
