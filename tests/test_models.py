"""Networks and weights: shapes, names, and files that are not what they should be."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import normalize

from dataset.storage.atomic import replacing
from models import build_model
from models.resnet import FrameNet
from models.sacl import SACL
from models.vggish import SoundNet
from models.weights import load, sha256
from utils.training.checkpoint import save

SHAPES = json.loads((Path(__file__).parent / "golden" / "sacl_checkpoint_shapes.json").read_text())


def seeded_state(shapes, skip=()):
    """Weights of the published keys and shapes, small enough for finite outputs."""
    g = torch.Generator().manual_seed(0)
    state = {}
    for key, shape in shapes.items():
        if key.startswith(tuple(skip)):
            continue
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(7)
        elif key.endswith("running_var"):
            state[key] = torch.rand(shape, generator=g) + 0.5
        else:
            state[key] = torch.randn(shape, generator=g) * 0.02
    return state


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Files as a user downloads them, of random values: the first weights (hash in the name) and a released pair."""
    folder = tmp_path_factory.mktemp("weights")
    old_resnet = {k: v for k, v in seeded_state(SHAPES["frame"]).items() if "num_batches_tracked" not in k}
    files = {
        "weights_resnet_imgnet": _named_by_hash(old_resnet, folder, "resnet18"),
        "weights_vggish": _named_by_hash(seeded_state(SHAPES["sound"], skip=["fc."]), folder, "vggish"),
    }
    for name, key in (("frame", "frame"), ("sound", "sound")):
        files[f"weights_{name}"] = folder / f"{name}_best.pth"
        torch.save(seeded_state(SHAPES[key]), files[f"weights_{name}"])
    return files


def _named_by_hash(state, folder, name):
    path = folder / f"{name}.pth"
    torch.save(state, path)
    return path.rename(folder / f"{name}-{sha256(path)[:8]}.pth")


def arguments(published, **changes):
    first = {"method": "sacl", "weights_frame": None, "weights_sound": None, "train_from_scratch": 0}
    return SimpleNamespace(**{**published, **first, **changes})


def test_keys_and_shapes_are_the_published_ones():
    frame = {key: list(value.shape) for key, value in FrameNet().state_dict().items()}
    sound = {key: list(value.shape) for key, value in SoundNet().state_dict().items()}
    assert frame == {key: shape for key, shape in SHAPES["frame"].items() if not key.startswith("fc.")}
    assert sound == SHAPES["sound"]


@pytest.mark.parametrize(("size", "cells"), [(224, 14), (192, 12)])
def test_forward_and_localize(size, cells):
    torch.manual_seed(0)
    model = SACL(FrameNet(), SoundNet()).eval()
    image, spect = torch.randn(2, 3, size, size), torch.randn(2, 3, 1, 96, 64)
    with torch.no_grad():
        vision, audio, sound = model([image, image.flip(3)], spect)
        heat = model.localize(image, spect)
        one = model.localize(image[1:], spect[1:])
    assert [view.shape for view in vision] == [(2, 512, cells, cells)] * 2
    assert audio.shape == (2, 512) and sound.shape == (2, 128)
    assert (vision[0] >= 0).all() and (sound >= 0).all()
    expected = sum(normalize(vision[0])[1, c] * normalize(audio)[1, c] for c in range(512))
    assert torch.allclose(heat[1], expected, atol=1e-5)
    assert torch.allclose(heat[1:], one, atol=1e-5)  # a batch of one


def test_sound_net_averages_patches_and_flattens_channel_last():
    torch.manual_seed(0)
    net, spect = SoundNet(), torch.randn(2, 3, 1, 96, 64)
    sound, audio = net(spect)
    embeddings = [
        [net.embeddings(net.features(patch[None]).permute(0, 2, 3, 1).reshape(1, -1)) for patch in clip]
        for clip in spect
    ]
    for i, clip in enumerate(embeddings):
        assert torch.allclose(sound[i], torch.cat(clip).mean(0), atol=1e-4)
        assert torch.allclose(audio[i], net.fc(torch.cat(clip)).mean(0), atol=1e-4)


def test_bfloat16_encoders_give_float32_features():
    model = SACL(FrameNet(), SoundNet())
    with torch.autocast("cpu", torch.bfloat16):
        vision, audio, sound = model([torch.randn(2, 3, 32, 32)] * 2, torch.randn(2, 3, 1, 96, 64))
    assert {tensor.dtype for tensor in (*vision, audio, sound)} == {torch.float32}


def test_first_weights_are_read(published):
    model = build_model(arguments(published))
    resnet = torch.load(published["weights_resnet_imgnet"])
    assert torch.equal(model.frame_net.layer4[1].conv2.weight, resnet["layer4.1.conv2.weight"])
    vggish = torch.load(published["weights_vggish"])
    assert torch.equal(model.sound_net.embeddings[4].bias, vggish["embeddings.4.bias"])


def test_a_released_pair_is_read(published):
    pair = {key: published[key] for key in ("weights_frame", "weights_sound")}
    model = build_model(arguments(published, **pair))
    assert torch.equal(model.sound_net.fc[2].weight, torch.load(pair["weights_sound"])["fc.2.weight"])
    assert model.frame_net.bn1.num_batches_tracked == 7
    with pytest.raises(ValueError, match="give both"):
        build_model(arguments(published, weights_frame=pair["weights_frame"]))


@pytest.mark.parametrize("key", ["weights_resnet_imgnet", "weights_vggish"])
def test_a_missing_file_says_where_to_get_it(published, key):
    with pytest.raises(FileNotFoundError, match="(?s)nowhere.pth is missing.*https://.*--train_from_scratch 1"):
        build_model(arguments(published, **{key: "nowhere.pth"}))


def test_wrong_files_are_refused(published, tmp_path):
    resnet = published["weights_resnet_imgnet"]
    renamed = tmp_path / "resnet18-00000000.pth"
    renamed.write_bytes(resnet.read_bytes())
    with pytest.raises(ValueError, match="resnet18-00000000.pth does not have the sha256 prefix"):
        build_model(arguments(published, weights_resnet_imgnet=renamed))

    for name, content, message in (
        ("cut.pth", resnet.read_bytes()[:5000], "cut.pth is not a readable checkpoint"),
        ("empty.pth", b"", "empty.pth is not a readable checkpoint"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=message):
            build_model(arguments(published, weights_resnet_imgnet=tmp_path / name))

    state = torch.load(resnet)
    for change, message in (
        ({"conv1.weight": torch.zeros(64, 3, 3, 3)}, r"conv1.weight is \(64, 3, 3, 3\), not \(64, 3, 7, 7\)"),
        ({"extra": torch.zeros(1)}, "extra is unknown"),
        ({"bn1.weight": None}, "bn1.weight is missing"),
    ):
        changed = {k: v for k, v in {**state, **change}.items() if v is not None}
        torch.save(changed, tmp_path / "changed.pth")
        with pytest.raises(ValueError, match=message):
            build_model(arguments(published, weights_resnet_imgnet=tmp_path / "changed.pth"))


def test_pickled_code_is_not_run(published, tmp_path):
    class Trap:
        def __reduce__(self):
            return exec, (f"open({str(tmp_path / 'sprung')!r}, 'w')",)

    torch.save({"conv1.weight": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(ValueError, match="trap.pth is not a readable checkpoint"):
        build_model(arguments(published, weights_resnet_imgnet=tmp_path / "trap.pth"))
    assert not (tmp_path / "sprung").exists()


def test_saving_keeps_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "last.pth"
    save({"x": torch.ones(2)}, path)
    with pytest.raises(RuntimeError), replacing(path, "wb") as file:
        file.write(b"half")
        raise RuntimeError("the disk is full")
    assert torch.equal(load(path)["x"], torch.ones(2))


def test_torchvision_imports_in_a_fresh_process():
    """Whatever build of torch is beside it; only through the one place that may import it."""
    code = "from models.torchvision_ops import torchvision; from torchvision.transforms import v2; v2.Resize(4)"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=True, timeout=120)
