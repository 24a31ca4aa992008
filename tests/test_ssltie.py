"""SSL-TIE against the authors' values, as one of several processes, and with checkpoints as they are published."""

import random
from argparse import Namespace

import numpy as np
import pytest
import seeded
import torch
from seeded import assert_near
from seeded_related import FOLDER, SHAPES, above_median, masks, numbers_of, stored_sounds
from test_distributed import in_processes
from torch import nn
from torch.nn.functional import mse_loss
from torch.nn.parallel import DistributedDataParallel

from dataset.frontends.mel_db import mel_db
from models.ssltie import (
    SSLTIE,
    SSLTIELoss,
    SSLTIEObjective,
    build_model,
    build_objective,
    draw_cells,
    draw_transformation,
    masked,
    transform,
)
from utils import distributed
from utils.evaluation.evaluate import enlarge
from utils.evaluation.metrics import consensus_iou, min_max

GOLDEN = np.load(FOLDER / "ssltie.npz")
PREFIX = "golden-pub/ssltie"
UNUSED = {"vision_fc1.weight": [512, 1024, 1, 1], "vision_fc1.bias": [512], "conv3.weight": [1, 1, 1, 1]}
UNUSED |= {"conv3.bias": [1], "norm3.num_batches_tracked": []}
UNUSED |= {f"norm3.{name}": [1] for name in ("weight", "bias", "running_mean", "running_var")}
ARGS = {"accumulate": 1, "published_diagonal": False, "local_negatives": False}


def seeded_weights():
    return seeded.weights(f"{PREFIX}/weights", SHAPES | UNUSED)


def seeded_model():
    model = SSLTIE(mask_sounds=0)
    model.load_state_dict(seeded_weights())
    return model


def spectrogram_of_10_s(name, n=48000, rate=16000):
    """A sound repeated until it lasts 10 s, as the authors read it."""
    sound = seeded.waveform(name, n, rate)
    return mel_db(np.tile(sound, 10 * rate // n + 1)[: 10 * rate], rate)


@pytest.fixture(scope="module")
def inputs():
    """Four images (4, 3, 224, 224) and mel spectrograms (4, 1, 257, 670)."""
    sounds = stored_sounds("ssltie_aud")
    if sounds is None:
        sounds = torch.from_numpy(np.stack([spectrogram_of_10_s(f"{PREFIX}/wav{i}") for i in range(4)]))
    assert_near(sounds.flatten()[::2003], GOLDEN["e2e/aud__s2003"], 1e-5)
    return seeded.images(f"{PREFIX}/img"), sounds


@pytest.mark.parametrize("case, n, rate", [("3s16k", 48000, 16000), ("10s16k", 160000, 16000), ("3s22k", 66150, 22050)])
def test_front_end(case, n, rate):
    found = spectrogram_of_10_s(f"{PREFIX}/fe/{case}", n, rate)
    assert found.dtype == np.float32 and found.shape == (1, 257, 1 + 10 * rate // 239)
    assert_near(found.ravel()[::610], GOLDEN[f"fe/{case}/spec__s610"], 1e-5)


def test_front_end_of_silence_and_of_too_little():
    assert (mel_db(np.zeros(160000, np.float32)) == -100).all()
    found = spectrogram_of_10_s(f"{PREFIX}/fe/10s16k", 160000)
    assert (found == -100).all(axis=2).sum() == 28  # bands between two frequencies
    with pytest.raises(ValueError, match="of 256 samples is too short: 257"):
        mel_db(np.zeros(256, np.float32))


@torch.no_grad()
def test_networks(inputs):
    model = seeded_model().eval()
    assert_near(model.localize(*inputs)[:, None], GOLDEN["net/eval/A"], 1e-4)
    (vision, _), audio, _ = model([inputs[0]], inputs[1])
    lvs = SSLTIELoss().lvs
    lvs.published_diagonal = True
    assert_near(lvs.logits(*lvs.pool(vision, audio)), GOLDEN["net/eval/logits"], 1e-4)


@pytest.mark.parametrize("seed", [0, 1, 3, 5])
def test_transformation(seed):
    """What is drawn, the transformed images and maps, and the loss of their maps with its gradients."""
    random.seed(seed)
    drawn = draw_transformation(3, 30)
    scale, flip = GOLDEN[f"equi/{seed}/params"]
    assert (drawn[:, 0] == scale).all() and (drawn[:, 2] == flip).all()
    images = transform(seeded.images(f"{PREFIX}/equi/{seed}", 3), drawn, int(224 * scale))
    assert_near(images.flatten()[::307], GOLDEN[f"equi/{seed}/tx__s307"], 1e-4)

    side = int(14 * scale)
    maps, others = (
        torch.from_numpy(seeded.sim_maps(f"{PREFIX}/equi/{seed}/{name}", 3, size))[:, None].requires_grad_()
        for name, size in (("h", 14), ("h2", side))
    )
    moved = transform(maps, drawn, side)
    loss = mse_loss(others, moved)
    loss.backward()
    assert_near(moved, GOLDEN[f"equi/{seed}/th"], 1e-4)
    assert loss.item() == pytest.approx(float(GOLDEN[f"equi/{seed}/loss"]), rel=1e-4)
    assert_near(maps.grad, GOLDEN[f"equi/{seed}/grad_h"], 1e-4)
    assert_near(others.grad, GOLDEN[f"equi/{seed}/grad_h2"], 1e-4)


@pytest.mark.parametrize("angle, scale, flip", [(0, 1, 0), (0, 1, 1), (90, 1, 0), (0, 0.5, 0)])
def test_transformation_of_single_steps(angle, scale, flip):
    """Without a step an image stays; alone, each is what its name says. Under autocast the coordinates stay exact."""
    image = seeded.images("single", 1)
    with torch.autocast("cpu", torch.bfloat16):
        found = transform(image, torch.tensor([[scale, angle, flip]]), int(224 * scale))
    if flip:
        assert torch.allclose(found, image.flip(-1), atol=1e-3)
    elif angle:  # counterclockwise about pixel (112, 112), which leaves row 0 without a source
        assert torch.allclose(found[:, :, 1:, 1:], image[:, :, 1:, 1:].rot90(1, (2, 3)), atol=1e-3)
    elif scale < 1:  # a quarter of the canvas's sides, in its middle, and nothing around
        assert not found[:, :, :27].any() and not found[:, :, -27:].any() and found[:, :, 29:83, 29:83].any()
    else:
        assert torch.allclose(found, image, atol=1e-3)


def test_masked_sounds():
    """As many cells as drawn, in the ranges of SpecAugment, at -100 dB."""
    random.seed(0)
    cells = draw_cells(2000, 0.8, 257, 670)
    assert (cells[:, 0] + cells[:, 1] <= 670).all() and (cells[:, 2] + cells[:, 3] <= 257).all()
    assert 150 < cells[:, 1].max() <= 180 and 30 < cells[:, 3].max() <= 35
    assert (cells[:, [1, 3]].sum(dim=1) > 0).float().mean() == pytest.approx(0.8, abs=0.04)
    found = masked(torch.zeros(3, 1, 8, 10), torch.tensor([[2.0, 3, 1, 2], [0, 0, 7, 1], [0, 0, 0, 0]]))
    expected = torch.zeros(3, 1, 8, 10)
    expected[0, 0, :, 2:5] = expected[0, 0, 1:3] = expected[1, 0, 7] = -100
    assert torch.equal(found, expected)


def test_two_steps(inputs):
    """Losses of two steps of Adam on one batch, the first with its terms and gradients."""
    if stored_sounds("ssltie_aud") is None:
        pytest.skip("the exact sounds are not at hand (../shared/golden/related): Adam makes more of any difference")
    model, objective = seeded_model(), build_objective(Namespace(**ARGS))
    groups = model.parameter_groups(Namespace(lr=1e-4))
    optimizer = torch.optim.Adam(groups, weight_decay=1e-4)
    for step, expected in enumerate(GOLDEN["e2e/steps"]):
        random.seed(100 + step)
        outputs = model([inputs[0]], inputs[1])
        loss, diagnostics = objective(outputs, {})
        optimizer.zero_grad()
        loss.backward()
        tolerance = 5e-2 if step else 1e-4  # float32, and Adam's first step
        criterion = objective.criterion
        terms = [loss, *(criterion.lvs(part, outputs[1]) for part in outputs[0]), criterion.distance(*outputs)]
        assert [term.item() for term in terms] == pytest.approx(expected[:4].tolist(), rel=tolerance)
        assert [*outputs[2][0, [0, 2]]] == expected[4:].tolist()
        assert all(number.value > number.limit for number in diagnostics.values())
        for key in (key for key in GOLDEN.files if key.startswith("e2e/grad/") and step == 0):
            gradient = model.get_parameter(key.removeprefix("e2e/grad/")).grad
            assert_near(numbers_of(gradient), GOLDEN[key], 2e-3)  # of float32 sums over 50 layers
        optimizer.step()


def pixel_map(boxes):
    """Boxes (n, 4) in the image's sides -> (224, 224): here a negative corner is a negative array index."""
    gt = np.zeros((224, 224))
    for x0, y0, x1, y1 in (224 * boxes).astype(int):
        gt[y0:y1, x0:x1] = 1
    return gt


@torch.no_grad()
def test_published_evaluation(inputs):
    heat = min_max(enlarge(seeded_model().eval().localize(*inputs), "abcd"))
    assert_near(heat.ravel()[::1010], GOLDEN["test/pred__s1010"], 2e-3)
    mask, boxes = above_median(heat), GOLDEN["test/boxes"]
    assert (mask != masks(GOLDEN, "test/mask_packed")).mean() <= 2e-3
    gt = np.stack([pixel_map(boxes[boxes[:, 0] == clip, 1:]) for clip in range(4)])
    assert consensus_iou(mask, gt) == pytest.approx(GOLDEN["test/ciou"], abs=2e-3)


def test_published_checkpoints(tmp_path):
    """{state_dict}, its keys without "module."."""
    expected, path = seeded_weights(), tmp_path / "vggsound144k.pth.tar"
    checkpoint = {"state_dict": expected, "epoch": 3, "best_miou": np.mean([0.25, 0.5]), "iteration": 7}
    torch.save(checkpoint | {"optimizer": {"state": {}, "param_groups": []}}, path)
    state = build_model(Namespace(weights=str(path))).state_dict()
    assert state.keys() == expected.keys() and all(torch.equal(state[key], expected[key]) for key in state)
    torch.save({"state_dict": {key: expected[key] for key in SHAPES}}, path)
    with pytest.raises(ValueError, match=r"vision_fc1.weight is missing, 8 in all.*SSL-TIE"):
        build_model(Namespace(weights=str(path)))


def test_batches_in_parts_are_refused():
    with pytest.raises(ValueError, match="--accumulate does not work with --method ssltie"):
        build_objective(Namespace(**{**ARGS, "accumulate": 2}))


def small_model():
    """SSL-TIE with a layer for each trunk."""
    model = SSLTIE()
    torch.manual_seed(0)
    model.imgnet, model.audnet = nn.Conv2d(3, 8, 16, stride=16), nn.Conv2d(1, 8, 16, stride=16)
    return model


def share_of_a_batch(rank, world):
    """Losses and gradients of three batches of 8 in `world` parts."""
    torch.manual_seed(1)
    mine = slice(rank * 8 // world, (rank + 1) * 8 // world)
    images, audio = torch.randn(8, 3, 64, 64)[mine], torch.randn(8, 1, 32, 48)[mine]
    model, objective, found = small_model(), SSLTIEObjective(SSLTIELoss()), []
    trained = DistributedDataParallel(model) if world > 1 else model
    random.seed(3 + rank)  # as the training seeds its processes
    for _ in range(3):
        model.zero_grad()
        outputs = trained([images], audio)
        loss, _ = objective(outputs, {})
        loss.backward()
        losses = distributed.gather_lists([loss.item()])
        grads = [parameter.grad for parameter in model.parameters() if parameter.requires_grad]
        found.append({"loss": sum(losses) / world, "grads": grads, "scale": outputs[2][0, 0].item()})
    return found


def test_loss_and_gradients_do_not_depend_on_the_number_of_processes(tmp_path):
    """They transform and mask the same samples alike, although their random numbers differ."""
    one, two = (in_processes(world, tmp_path, share_of_a_batch) for world in (1, 2))
    assert {step["scale"] for step in one} == {0.5, 1.0}
    for alone, shared in zip(one, two, strict=True):
        assert shared["loss"] == pytest.approx(alone["loss"], rel=1e-5)
        for a, b in zip(alone["grads"], shared["grads"], strict=True):
            assert_near(b, a, 1e-4)


@pytest.mark.parametrize("side", [64, 80])
def test_any_size_of_image(side):
    """80 pixels: 5 x 5 places, of which a half would be 2, and the shrunken image has 3."""
    model, objective = SSLTIE(), SSLTIEObjective(SSLTIELoss())
    for seed in (0, 1):  # scale 1 and 0.5
        random.seed(seed)
        with torch.autocast("cpu", torch.bfloat16):
            vision, audio, drawn = model([torch.randn(2, 3, side, side)], torch.randn(2, 1, 257, 40))
        assert {part.dtype for part in (*vision, audio)} == {torch.float32}
        assert [part.shape[-1] for part in vision] == [side // 16, -(-int(side * drawn[0, 0]) // 16)]
        loss, _ = objective((vision, audio, drawn), {})
        loss.backward()
        assert loss.isfinite()
    trained = sum(parameter.grad is not None for parameter in model.parameters())
    assert trained == sum(len(group["params"]) for group in model.parameter_groups(Namespace(lr=1)))
