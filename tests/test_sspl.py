"""SSPL against the authors' values, and against what the paper says of it."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import seeded
import torch
from torch import nn
from torch.nn.functional import normalize
from torch.utils.flop_counter import FlopCounterMode

from models.pcm import PCM
from models.simsiam import SimSiamHead
from models.sspl import SSPL, SSPLLoss, attend, cosine_map
from models.vgg import VGG16
from models.vggish import SoundNet

GOLDEN = np.load(Path(__file__).parent / "golden" / "sspl.npz")
SHAPES = json.loads((Path(__file__).parent / "golden" / "sspl_state_dict_shapes.json").read_text())


class Given(nn.Module):
    """A sound network whose head gives the golden projections, whatever it hears."""

    def __init__(self, projected):
        super().__init__()
        self.features, self.embeddings = nn.Identity(), nn.Identity()
        self.projected = nn.Parameter(projected)

    def embed(self, audio):
        return audio[:, :, 0]  # what it hears are embeddings already

    def fc(self, embedding):
        return self.projected


def golden_model(name):
    """The SSPL of the golden values behind given features, with the inputs: model, views, sound."""
    head, pcm = SimSiamHead(), PCM(cycles=4) if name == "pcm" else None
    for part, network in (("ssl_head", head), ("pcm", pcm)):
        if network:
            network.load_state_dict(seeded.weights(f"golden_sspl/{part}", SHAPES[part]))
    sound_net = Given(seeded.array("golden_sspl/at", (4, 3, 512)))
    model = SSPL(nn.Identity(), sound_net, head, pcm)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 0.0
    views = [seeded.array(f"golden_sspl/v{i}", (4, 512, 14, 14)) for i in (1, 2)]
    return model, views, seeded.array("golden_sspl/so", (4, 3, 1, 128)).abs()


def near(found, name):
    """Agreement to 1e-4 of the largest golden value."""
    expected = GOLDEN[name]
    return np.abs(np.asarray(found) - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("name", ["plain", "pcm"])
def test_golden_values(name, mode):
    model, views, sound = golden_model(name)
    model.train(mode == "train")
    loss = SSPLLoss()(*model(views, sound)[:2])
    loss.backward()
    case = f"{name}_{mode}"
    assert loss.item() == pytest.approx(float(GOLDEN[f"{case}_loss"]), abs=1e-6)
    with torch.no_grad():
        assert near(model.localize(views[0], sound), f"{case}_sim_map")
    assert near(model.sound_net.projected.grad, f"{case}_grad_audio")
    assert near(model.ssl_head.predictor.layer2.weight.grad.norm(), f"{case}_grad_predictor")
    if name == "pcm":
        for rates in ("a0", "b0"):
            assert near([rate.grad.norm() for rate in getattr(model.pcm, rates)], f"{case}_grad_{rates}")
        with torch.no_grad():
            aligned = model.pcm(views[0], sound[:, :, 0].mean(dim=1))
        assert near(aligned[:, :8], f"{case}_pcm_out_channels_0_8")
        assert near(aligned.norm(), f"{case}_pcm_out_norm")


def test_keys_shapes_and_sizes_are_the_published_ones():
    head, pcm = SimSiamHead(), PCM(cycles=4)
    for name, network in (("ssl_head", head), ("pcm", pcm)):
        assert {key: list(value.shape) for key, value in network.state_dict().items()} == SHAPES[name]
    assert sum(p.numel() for p in pcm.parameters()) == 9_859_712
    assert sum(isinstance(module, nn.BatchNorm2d) for module in pcm.modules()) == 25
    assert sum(p.numel() for p in head.parameters()) == 11_545_600
    keys = list(VGG16().state_dict())
    assert len(keys) == 26 and keys[0] == "feat_extractor.0.weight" and keys[-1] == "feat_extractor.28.bias"


@pytest.mark.parametrize("total", [1, 3, 5, 6, 7, 8])
def test_every_published_number_of_cycles(total):
    """T passes with the initialising one, each with batch norms of its own; all that is read gets a gradient."""
    torch.manual_seed(0)
    pcm = PCM(cycles=total - 1)
    out = pcm(torch.randn(2, 512, 6, 6), torch.rand(2, 128))
    assert out.shape == (2, 512, 6, 6) and (out < 0).any()
    out.square().mean().backward()
    assert all(p.grad is not None for p in pcm.parameters() if p.requires_grad)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in pcm.modules()) == 5 * total


def test_pcm_refuses_sizes_it_cannot_give_back():
    with pytest.raises(ValueError, match="--imgSize must be 32 more than a multiple of 64"):
        PCM(cycles=0)(torch.zeros(1, 512, 12, 12), torch.zeros(1, 128))


def test_vgg16_is_signed_at_stride_16():
    torch.manual_seed(0)
    features = VGG16()(torch.randn(1, 3, 64, 96))
    assert features.shape == (1, 512, 4, 6) and (features < 0).any()


def test_attention_is_the_sum_over_places():
    torch.manual_seed(0)
    vision, audio = torch.randn(2, 5, 3, 4), torch.randn(2, 5)
    for image, sound, found in zip(vision, audio, attend(vision, audio), strict=True):
        cosines = [
            float(normalize(image[:, y, x], dim=0) @ normalize(sound, dim=0)) for y in range(3) for x in range(4)
        ]
        shares = [(cosine - min(cosines)) / (max(cosines) - min(cosines)) for cosine in cosines]
        places = [image[:, y, x] for y in range(3) for x in range(4)]
        assert torch.allclose(found, sum(w * v for w, v in zip(shares, places, strict=True)), atol=1e-5)
    assert torch.isfinite(attend(torch.ones(1, 5, 3, 4), audio[:1])).all()  # a constant map


def test_loss_holds_the_projections_still():
    torch.manual_seed(0)
    p, z = ([torch.randn(3, 7, requires_grad=True) for _ in range(2)] for _ in range(2))
    loss = SSPLLoss()(p, z)
    pairs = [(p[0], z[1]), (p[1], z[0])]
    cosines = [(normalize(a, dim=0) @ normalize(b, dim=0)).item() for pair in pairs for a, b in zip(*pair, strict=True)]
    assert loss.item() == pytest.approx(-np.mean(cosines), abs=1e-6)
    loss.backward()
    assert all(one.grad is not None for one in p) and all(one.grad is None for one in z)


class SmallFrameNet(nn.Module):
    """A frame network that has what a ResNet has: batch norm."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 512, 16, stride=16), nn.BatchNorm2d(512)

    def forward(self, image):
        return self.norm(self.conv(image))


class SmallSoundNet(SoundNet):
    """VGGish, but for its width: (B, S, 1, 96, 64) -> (B, 128), (B, 512)."""

    def __init__(self):
        nn.Module.__init__(self)
        self.features = nn.Conv2d(1, 8, 32, stride=32)
        self.embeddings = nn.Sequential(nn.Linear(8 * 3 * 2, 128), nn.ReLU())
        self.fc = nn.Linear(128, 512)


@pytest.mark.parametrize("fine_tune", [False, True])
def test_what_is_frozen_stays_as_it_is(fine_tune):
    torch.manual_seed(0)
    model = SSPL(SmallFrameNet(), SmallSoundNet(), SimSiamHead(), PCM(cycles=1), fine_tune).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    groups = model.parameter_groups(SimpleNamespace(lr_head=0.1, lr_rest=0.01))
    assert [group["lr"] for group in groups] == [0.1, 0.01, 0.01]
    assert len(groups[2]["params"]) == 6 and groups[2]["weight_decay"] == 0
    optimizer = torch.optim.AdamW(groups, weight_decay=0.5)
    views = [torch.randn(2, 3, 96, 96) for _ in range(2)]
    SSPLLoss()(*model(views, torch.randn(2, 3, 1, 96, 64))[:2]).backward()
    optimizer.step()
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    frozen = {key for key in before if key.startswith(("frame_net", "sound_net.features", "sound_net.embeddings"))}
    assert frozen <= changed if fine_tune else not frozen & changed
    assert {"sound_net.fc.weight", "ssl_head.predictor.layer2.weight", "pcm.ErrorProcess.3.weight"} <= changed


def test_localize_maps_the_features_that_are_compared():
    torch.manual_seed(0)
    image, audio_input = torch.randn(2, 3, 96, 96), torch.randn(2, 3, 1, 96, 64)
    for pcm in (None, PCM(cycles=1)):
        model = SSPL(VGG16(), SmallSoundNet(), SimSiamHead(), pcm).eval()
        with torch.no_grad():
            found, one = model.localize(image, audio_input), model.localize(image[1:], audio_input[1:])
            vision, (sound, audio) = model.frame_net(image), model.sound_net(audio_input)
            expected = cosine_map(pcm(vision, sound) if pcm else vision, audio)
        assert found.shape == (2, 6, 6)
        assert torch.allclose(found, expected, atol=1e-5) and torch.allclose(found[1:], one, atol=1e-4)


def test_bfloat16_encoders_give_float32_outputs():
    model = SSPL(VGG16(), SmallSoundNet(), SimSiamHead())
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model([torch.randn(2, 3, 32, 32)] * 2, torch.randn(2, 3, 1, 96, 64))
    assert {tensor.dtype for pair in outputs for tensor in pair} == {torch.float32}


def test_seeded_numbers_are_those_of_the_golden_values():
    theirs = Path(__file__).parents[2] / "shared" / "golden" / "seeded.py"
    if not theirs.is_file():
        pytest.skip("the generator of the golden values is not here; the golden values themselves are tested above")
    generator = {}
    exec(theirs.read_text(), generator)
    expected = generator["weights"]("golden_sspl/pcm", {k: v for k, v in SHAPES["pcm"].items() if k.startswith("BN")})
    found = seeded.weights("golden_sspl/pcm", SHAPES["pcm"])
    assert all(np.array_equal(found[key], value) for key, value in expected.items())


def multiply_adds(network, *shapes):
    """Billions of multiply-adds of a forward pass (the paper's GFLOPs), without elementwise operations."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network().eval()(*(torch.empty(shape) for shape in shapes))
    return counter.get_total_flops() / 2e9


def test_costs():
    """The GFLOPs of table S6 (two views and one clip), if the sound network is counted twice, and the transposed
    convolution of stride 2, 3 x 3 to 7 x 7, by its output."""
    views, features, sound = (2, 3, 224, 224), (2, 512, 14, 14), (2, 128)
    frame_net, sound_net = multiply_adds(VGG16, views), multiply_adds(SoundNet, (1, 3, 1, 96, 64))
    first, second = (multiply_adds(lambda cycles=cycles: PCM(cycles), features, sound) for cycles in (0, 1))
    assert frame_net == pytest.approx(2 * 15.35, rel=0.01)  # VGG16's convolutions
    cycle = 2 * 512 * 512 * 9 * (196 + 49 + 9 + 196) + 4 * 512 * 128 * 9  # down twice, up twice, and the sound
    assert second - first == pytest.approx(cycle / 1e9, rel=1e-6)
    plain = frame_net + 2 * sound_net + multiply_adds(SimSiamHead, (2, 512))
    assert plain == pytest.approx(35.9, abs=0.05)
    zeros = 2 * 512 * 512 * 9 * (49 - 9) / 1e9
    for total, published in {1: 38.3, 3: 43.0, 5: 47.6, 6: 49.9, 7: 52.2, 8: 54.5}.items():
        assert plain + first + (total - 1) * (second - first) + total * zeros == pytest.approx(published, abs=0.1)
