"""SLAVC against the authors' values, its momentum copy, and as one of several processes."""

from argparse import Namespace
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import seeded
import torch
from seeded import assert_near
from test_distributed import in_processes
from test_ezvsl import SHAPES as EZVSL_SHAPES
from test_ezvsl import ground_truth, object_prior
from torch import nn
from torch.nn.functional import interpolate
from torch.nn.parallel import DistributedDataParallel

from models import resnet
from models.slavc import NETWORKS, SLAVC, SLAVCLoss, SLAVCObjective, build_model
from utils import distributed
from utils.evaluation.detection import confidence, detection_scores
from utils.evaluation.metrics import consensus_iou, min_max
from utils.training.accumulate import backward_in_parts

GOLDEN = np.load(Path(__file__).parent / "golden" / "slavc.npz")
PREFIX = "golden-pub/slavc"
ONLINE = {name.replace("_proj", f"_proj{k}"): shape for k in (1, 2) for name, shape in EZVSL_SHAPES.items()}
SHAPES = ONLINE | {f"momentum_{name}": shape for name, shape in ONLINE.items()}


def seeded_model(dtype=torch.float32, **settings):
    model = SLAVC(**settings)
    model.load_state_dict(seeded.weights(f"{PREFIX}/weights", SHAPES))
    return model.to(dtype)


@pytest.fixture(scope="module")
def inputs():
    """Four images (4, 3, 224, 224) and log spectrograms (4, 1, 257, 200)."""
    return seeded.inputs(PREFIX, GOLDEN)


class GivenMasks(nn.Module):
    """The dropout of a golden case: its i-th call gets the i-th mask."""

    def __init__(self, name, dtype=torch.float32):
        super().__init__()
        self.name, self.dtype, self.calls = name, dtype, 0

    def forward(self, features):
        kept = seeded.rng(f"{self.name}/{self.calls}").random((4, 512, 7, 7)) < 0.1
        self.calls += 1
        return features * torch.from_numpy(kept / 0.1).to(self.dtype)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_networks(mode, inputs):
    model, trunks = seeded_model(dropout_img=0.0).train(mode == "train"), {}
    model.imgnet.register_forward_hook(lambda *call: trunks.update(imgnet__s244=call[2].flatten()[::244]))
    model.audnet.register_forward_hook(lambda *call: trunks.update(audnet__s4=call[2].amax(dim=(2, 3)).flatten()[::4]))
    with torch.no_grad():
        if mode == "train":
            model.begin_step()
        outputs = model([inputs[0]], inputs[1])
        assert_near(SLAVCLoss()(*outputs), GOLDEN[f"net/{mode}/loss"], 1e-4)
        for key, values in trunks.items():
            assert_near(values, GOLDEN[f"net/{mode}/{key}"], 1e-4)
        assert_near(model.localize(*inputs), GOLDEN[f"net/{mode}/Savl"] * 0.03, 1e-4)


@pytest.mark.parametrize("case", ["b2", "same_all"])
def test_loss(case):
    names = [f"{kind}{k}{copy}" for copy in ("on", "tg") for kind in ("img", "aud") for k in (1, 2)]
    given = [torch.from_numpy(GOLDEN[f"loss/{case}/{name}"]).requires_grad_() for name in names]
    loss = SLAVCLoss()(given[0:2], given[2:4], given[4:6], given[6:8])
    loss.backward()
    assert loss.item() == pytest.approx(float(GOLDEN[f"loss/{case}/loss"]), rel=1e-4)
    for name, tensor in zip(names[:4], given[:4], strict=True):
        stride = 7 if "img" in name else 1
        key = f"loss/{case}/grad_{name}" + ("__s7" if "img" in name else "")
        assert_near(tensor.grad.flatten()[::stride], GOLDEN[key].ravel(), 1e-4)
    assert all(tensor.grad is None for tensor in given[4:])  # targets


def test_three_steps_in_float64(inputs):
    """Losses of three steps of Adam on one batch; gradients and momentum copy of the first."""
    model, inputs = seeded_model(torch.float64), [tensor.double() for tensor in inputs]
    model.img_dropout = GivenMasks(f"{PREFIX}/mask/e2e_mask", torch.float64)
    optimizer, objective, losses = torch.optim.Adam(model.parameter_groups(Namespace(lr=1e-4))), SLAVCObjective(), []
    golden = {key: GOLDEN[key] for key in GOLDEN.files if key.startswith("e2e_mask64/")}
    for _ in range(3):
        model.begin_step()
        loss, diagnostics = objective(model([inputs[0]], inputs[1]), {})
        optimizer.zero_grad()
        loss.backward()
        if not losses:
            assert all(number.value > number.limit for number in diagnostics.values())
            state = model.state_dict()
            for key, expected in golden.items():
                name = key.split("/")[-1]
                if "/grad/" in key:
                    gradient = model.get_parameter(name).grad.flatten()
                    numbers = [gradient.norm(), gradient.abs().mean(), gradient.abs().max(), *gradient[:5]]
                    assert_near(numbers, expected, 1e-6)
                if "/mom/target_after/" in key:
                    assert_near(state[f"momentum_{name}"].flatten()[:64], expected.ravel(), 1e-6)
        losses.append(loss.item())
        optimizer.step()
    # Elsewhere SciPy may round otherwise, and Adam makes more of it.
    same = np.array_equal(inputs[1].flatten()[::2003].float(), GOLDEN["e2e/aud__s2003"])
    assert losses == pytest.approx(golden["e2e_mask64/loss_traj"].tolist(), rel=1e-6 if same else 1e-3)


@torch.no_grad()
@pytest.mark.parametrize("run", ["rel_a0p9", "abs_a0p9", "rel_a0p4_mom"])
def test_published_evaluation(run, inputs, tmp_path):
    """Images with their own sounds and with the next ones', which nothing in them makes."""
    model = seeded_model(use_mom_eval=run.endswith("mom")).eval()
    vision, sound = model.encode_image(inputs[0]), model.encode_sound(inputs[1])
    maps = torch.cat([model.similarity(vision, sound), model.similarity(vision, sound.roll(-1, dims=0))])
    objects = object_prior(PREFIX, tmp_path)(inputs[0]).repeat(2, 1, 1)
    alpha = 0.4 if "0p4" in run else 0.9
    scores = {"av": (enlarged(maps) + 1) / 2, "obj": enlarged(objects / 2.5)}
    scores["av_obj"] = alpha * scores["av"] + (1 - alpha) * scores["obj"]
    gt = np.concatenate([ground_truth(GOLDEN["test/boxes"]), np.zeros((4, 224, 224), np.float32)])
    for name, score in scores.items():
        key = f"test/{run}/{name}"
        if f"{key}/ciou" not in GOLDEN:
            continue
        heat = min_max(score) if run.startswith("rel") else score
        limit = np.sort(heat.reshape(8, -1))[:, 25088, None, None] if run.startswith("rel") else 0.5
        assert_near(heat.ravel()[::404], GOLDEN[f"{key}/pred__s404"], 2e-3)
        expected = np.unpackbits(GOLDEN[f"{key}/mask_packed"], axis=1).reshape(heat.shape)
        assert ((heat >= limit) != expected).mean() <= 2e-3
        assert consensus_iou(heat >= limit, gt)[:4] == pytest.approx(GOLDEN[f"{key}/ciou"][:4], abs=2e-3)
        assert_near(confidence(score), GOLDEN[f"{key}/conf"], 2e-3)


def enlarged(maps):
    """Maps (B, h, w) as the authors enlarge them for their test."""
    return interpolate(maps[:, None], (224, 224), mode="bicubic", align_corners=True)[:, 0].numpy()


@pytest.mark.parametrize("run", ["s_rel_a0p9", "s_abs_a0p9"])
@pytest.mark.parametrize("name", ["av", "obj", "av_obj"])
def test_published_metrics(run, name):
    """AP, LocAcc and max-F1 of sixteen items, in every fourth of which nothing sounds."""
    values = {key: GOLDEN[f"synth/{run}/{name}/{key}"] for key in ("ciou", "conf", "stats", "f1")}
    sounding = np.arange(16) % 4 != 3
    scores = detection_scores(values["ciou"], values["conf"], sounding)
    visible = detection_scores(values["ciou"][sounding], values["conf"][sounding], sounding[sounding])
    ap_all, precision_visible, ap_visible = values["stats"][[1, 3, 4]]
    assert (scores["ap"], visible["ap"]) == pytest.approx((ap_all, ap_visible), abs=1e-9)
    assert scores["loc_acc"] == pytest.approx(precision_visible)
    assert 100 * scores["max_f1"] == pytest.approx(max(map(float, str(values["f1"]).split())), abs=0.05)


def test_momentum_copy(tmp_path):
    """It starts as the trained networks, gets no gradient, is not given to the optimizer, and is in the checkpoint."""
    torch.manual_seed(0)
    imagenet = resnet.ResNet18().state_dict()
    imagenet["bn1.running_mean"] += 1
    torch.save(imagenet, tmp_path / "resnet18.pth")
    settings = {"slavc_momentum": 0.5, "dropout_img": 0.9, "dropout_aud": 0.0, "use_mom_eval": True}
    args = {"weights": None, "train_from_scratch": 0, "weights_resnet_imgnet": tmp_path / "resnet18.pth", **settings}
    model = build_model(Namespace(**args))
    assert model.state_dict().keys() == SHAPES.keys() and model.img_dropout.p == 0.9
    trained, copies = ({name: model.get_submodule(copy + name) for name in NETWORKS} for copy in ("", "momentum_"))
    for name in NETWORKS:
        for a, b in zip(trained[name].state_dict().values(), copies[name].state_dict().values(), strict=True):
            assert torch.equal(a, b) and a.data_ptr() != b.data_ptr()
    assert model.momentum_imgnet.bn1.running_mean.mean() > 0.9
    (group,) = model.parameter_groups(Namespace(lr=1))
    assert {id(p) for p in group["params"]} == {id(p) for network in trained.values() for p in network.parameters()}

    before = model.momentum_aud_proj1.bias.clone()
    with torch.no_grad():
        model.aud_proj1.bias += 1
        model.audnet.bn1.running_mean += 1
    model.eval()(*([torch.zeros(1, 3, 64, 64)],), torch.zeros(1, 1, 257, 40))
    assert torch.equal(model.momentum_aud_proj1.bias, before)  # forward passes do not move it
    model.begin_step()
    assert torch.allclose(model.momentum_aud_proj1.bias, before + 0.5)
    assert model.momentum_audnet.bn1.running_mean.abs().max() == 0  # its own forward passes do

    torch.save(
        {"model": {f"module.{key}": value for key, value in model.state_dict().items()}}, tmp_path / "latest.pth"
    )
    again = build_model(Namespace(**{**args, "weights": tmp_path / "latest.pth"}))
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), model.state_dict().values(), strict=True))


def small_model(dropout_img=0.5):
    """A SLAVC whose trunks are one convolution each."""
    with patch.object(resnet, "ResNet18", lambda channels=3: nn.Conv2d(channels, 512, 32, stride=32)):
        return SLAVC(momentum=0.5, dropout_img=dropout_img)


def test_a_batch_in_parts():
    """--accumulate makes several forward passes a step: the momentum copy stays where begin_step has put it, and both
    passes of a part drop the same features."""
    batch = {"views": [torch.randn(4, 3, 64, 64)], "audio": torch.randn(4, 1, 64, 64)}
    model, dropped = small_model(), []
    before = {name: value.clone() for name, value in model.state_dict().items() if name.startswith("momentum_")}
    model.img_dropout.register_forward_hook(lambda *call: dropped.append(call[2] == 0))
    backward_in_parts(model, SLAVCObjective(), batch, 2, nullcontext())
    assert len(dropped) == 8  # two passes of two parts, each of the trained networks and of the momentum copy
    assert all(torch.equal(a, b) for a, b in zip(dropped[:4], dropped[4:], strict=True))
    assert not torch.equal(dropped[0], dropped[1])
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    assert all((weight.grad is not None) == weight.requires_grad for weight in model.parameters())


def share_of_two_steps(rank, world):
    """Losses of two steps of SGD on one batch of 4 in `world` parts, and all weights after them."""
    torch.manual_seed(1)
    mine = slice(rank * 4 // world, (rank + 1) * 4 // world)
    images, sounds = torch.randn(4, 3, 64, 64)[mine], torch.randn(4, 1, 64, 64)[mine]
    found = {}
    for local in (False, True):
        torch.manual_seed(0)
        model = small_model(dropout_img=0.0)
        trained = DistributedDataParallel(model) if world > 1 else model
        optimizer, losses = torch.optim.SGD(model.parameter_groups(Namespace(lr=1e-3))), []
        for _ in range(2):
            model.begin_step()
            loss, _ = SLAVCObjective(local_negatives=local)(trained([images], sounds), {})
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(sum(distributed.gather_lists([loss.item()])) / world)
        model.begin_step()
        found[local] = {"losses": losses, "state": model.state_dict()}
    return found


def test_steps_do_not_depend_on_the_number_of_processes(tmp_path):
    one, two = (in_processes(world, tmp_path, share_of_two_steps) for world in (1, 2))
    assert two[False]["losses"] == pytest.approx(one[False]["losses"], rel=1e-5)
    assert one[False]["losses"][1] < one[False]["losses"][0]
    for name, expected in one[False]["state"].items():
        assert_near(two[False]["state"][name], expected, 1e-5)
    assert two[True]["losses"][0] < 0.9 * one[True]["losses"][0]  # fewer negatives
