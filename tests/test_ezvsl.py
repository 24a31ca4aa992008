"""EZ-VSL against the authors' values, as one of several processes, and with checkpoints as they are published."""

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import seeded
import torch
from batch_in_parts import losses_with_local_negatives
from scipy.io import wavfile
from seeded import assert_near
from torch.nn.functional import interpolate, normalize

from dataset.benchmarks.annotations import vggss_map
from dataset.frontends.spectrogram import log_spectrogram
from dataset.media.audio import RATE, SAMPLES, load_clip
from models.ezvsl import EZVSL, EZVSLLoss, EZVSLObjective, build_model
from models.resnet import ResNet18
from utils.evaluation.metrics import consensus_iou, min_max
from utils.evaluation.object_prior import ObjectPrior

GOLDEN = np.load(Path(__file__).parent / "golden" / "ezvsl.npz")
SHAPES = json.loads((Path(__file__).parent / "golden" / "ezvsl_state_dict_shapes.json").read_text())
PREFIX = "golden-pub/ezvsl"


def seeded_model(dtype=torch.float32):
    model = EZVSL()
    model.load_state_dict(seeded.weights(f"{PREFIX}/weights", SHAPES))
    return model.to(dtype)


@pytest.fixture(scope="module")
def inputs():
    """Four images (4, 3, 224, 224) and log spectrograms (4, 1, 257, 200)."""
    return seeded.inputs(PREFIX, GOLDEN)


@pytest.mark.parametrize("case", ["10s16k", "exact3s16k", "10s44k"])
def test_front_end(case):
    n, rate, _ = GOLDEN[f"fe/{case}/in"].astype(int)
    start = int(GOLDEN[f"fe/{case}/start"][0])
    pcm = np.round(seeded.waveform(f"{PREFIX}/fe/{case}/ch0", n, rate).clip(-1, 1) * 32767).astype(np.int16)
    found = log_spectrogram(pcm[start : start + 3 * rate] / 32767, rate)
    assert found.dtype == np.float32 and found.shape == tuple(GOLDEN[f"fe/{case}/shape"])
    (key,) = (key for key in GOLDEN.files if key.startswith(f"fe/{case}/spec__s"))
    assert_near(found.ravel()[:: int(key.rpartition("s")[2])], GOLDEN[key], 1e-5)


def test_front_end_of_our_clips(tmp_path):
    """A file as our reader cuts it gives the authors' spectrogram, but for 16-bit samples over 32768, not 32767."""
    pcm = np.round(seeded.waveform(f"{PREFIX}/fe/10s16k/ch0", 10 * RATE) * 32767).astype(np.int16)
    wavfile.write(tmp_path / "a.wav", RATE, pcm)
    clip = load_clip(tmp_path / "a.wav")
    assert clip.shape == (SAMPLES,)
    assert_near(log_spectrogram(clip).ravel()[::116], GOLDEN["fe/10s16k/spec__s116"], 1e-4)
    with pytest.raises(ValueError, match="shorter than one window"):
        log_spectrogram(clip[:511])


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_networks(mode, inputs):
    model, trunks = seeded_model().train(mode == "train"), {}
    model.imgnet.register_forward_hook(lambda *call: trunks.update(imgnet__s244=call[2].flatten()[::244]))
    model.audnet.register_forward_hook(lambda *call: trunks.update(audnet__s4=call[2].amax(dim=(2, 3)).flatten()[::4]))
    with torch.no_grad():
        vision, audio = model([inputs[0]], inputs[1])
        assert_near(EZVSLLoss()(vision, audio), GOLDEN[f"net/{mode}/loss"], 1e-4)
        assert_near(model.similarity(normalize(vision), normalize(audio)), GOLDEN[f"net/{mode}/Savl"] * 0.03, 1e-4)
        for key, values in trunks.items():
            assert_near(values, GOLDEN[f"net/{mode}/{key}"], 1e-4)
        if mode == "train":
            assert_near(model.imgnet.bn1.running_mean[::8], GOLDEN["net/train/running_mean/imgnet.bn1__s8"], 1e-4)
            last = model.audnet.layer4[1].bn2
            assert_near(last.running_var[::8], GOLDEN["net/train/running_var/audnet.layer4.1.bn2__s8"], 1e-4)
        else:
            assert torch.equal(model.localize(*inputs), model.similarity(normalize(vision), normalize(audio)))
            seven = model.encode_image(inputs[0][:1]).expand(7, -1, -1, -1)  # one image, many sounds
            maps = model.similarity(seven, model.encode_sound(inputs[1])[[0] * 7])
            assert torch.allclose(maps, model.localize(*inputs)[:1].expand(7, -1, -1), atol=1e-6)


@pytest.mark.parametrize("case", ["b8", "same_audio", "same_all", "b6_14"])
def test_loss(case):
    vision, audio = (torch.from_numpy(GOLDEN[f"loss/{case}/{name}"]).requires_grad_() for name in ("img", "aud"))
    criterion = EZVSLLoss()
    assert_near(criterion.cosines(vision, audio) / 0.03, GOLDEN[f"loss/{case}/logits"], 1e-4)
    loss = criterion(vision, audio)
    loss.backward()
    assert loss.item() == pytest.approx(float(GOLDEN[f"loss/{case}/loss"]), rel=1e-4)
    assert_near(vision.grad.flatten()[::7], GOLDEN[f"loss/{case}/grad_img__s7"], 1e-4)
    assert_near(audio.grad, GOLDEN[f"loss/{case}/grad_aud"], 1e-4)


def test_three_steps_in_float64(inputs):
    """Losses of three steps of Adam on one batch, and gradients of the first."""
    model, inputs = seeded_model(torch.float64), [tensor.double() for tensor in inputs]
    args = Namespace(lr=1e-4)
    optimizer, objective, losses = torch.optim.Adam(model.parameter_groups(args)), EZVSLObjective(), []
    for _ in range(3):
        loss, diagnostics = objective(model([inputs[0]], inputs[1]), {})
        optimizer.zero_grad()
        loss.backward()
        if not losses:
            assert all(number.value > number.limit for number in diagnostics.values())
            for key in (key for key in GOLDEN.files if key.startswith("e2e64/grad/")):
                gradient = model.get_parameter(key.removeprefix("e2e64/grad/")).grad.flatten()
                numbers = [gradient.norm(), gradient.abs().mean(), gradient.abs().max(), *gradient[:5]]
                assert_near(numbers, GOLDEN[key], 1e-6)
        losses.append(loss.item())
        optimizer.step()
    # Elsewhere SciPy may round otherwise, and Adam makes more of it.
    same = np.array_equal(inputs[1].flatten()[::2003].float(), GOLDEN["e2e/aud__s2003"])
    assert losses == pytest.approx(GOLDEN["e2e64/loss_traj"].tolist(), rel=1e-6 if same else 1e-3)


def published_map(maps):
    """Maps (B, h, w) as the authors enlarge and stretch them for their test."""
    large = interpolate(torch.as_tensor(maps)[:, None], (224, 224), mode="bilinear", align_corners=True)
    return min_max(large[:, 0].numpy())


def assert_published_scores(golden, name, heat, gt):
    """Heat maps (4, 224, 224), the masks of their upper half, and consensus IoUs."""
    assert_near(heat.ravel()[::404], golden[f"{name}/pred__s404"], 2e-3)
    mask = heat >= np.sort(heat.reshape(4, -1))[:, 25088, None, None]
    expected = np.unpackbits(golden[f"{name}/mask_packed"], axis=1).reshape(mask.shape)
    assert (mask != expected).mean() <= 2e-3
    assert consensus_iou(mask, gt) == pytest.approx(golden[f"{name}/ciou"], abs=2e-3)


def object_prior(prefix, folder):
    """The ObjectPrior behind the golden values."""
    shapes = {key: value.shape for key, value in ResNet18().state_dict().items()}
    weights = seeded.weights(f"{prefix}/objnet", shapes)
    torch.save(weights | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}, folder / "resnet18.pth")
    return ObjectPrior(0.4, folder / "resnet18.pth")


def ground_truth(boxes):
    """Rows of (clip, x0, y0, x1, y1) -> (4, 224, 224)."""
    return np.stack([vggss_map(boxes[boxes[:, 0] == clip, 1:]) for clip in range(4)])


@torch.no_grad()
def test_published_evaluation(inputs, tmp_path):
    gt = ground_truth(GOLDEN["test/boxes"])
    heat = published_map(seeded_model().eval().localize(*inputs))
    objects = object_prior(PREFIX, tmp_path)(inputs[0])
    assert_near(objects[:, None], GOLDEN["test/obj_raw"], 2e-3)
    maps = {"av": heat, "obj": published_map(objects)}
    maps["av_obj"] = min_max(0.4 * maps["av"] + 0.6 * maps["obj"])
    for name, values in maps.items():
        assert_published_scores(GOLDEN, f"test/test/{name}", values, gt)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_published_checkpoints(prefix, tmp_path):
    """{model, optimizer, epoch, best_cIoU, best_Auc}, the scores numbers of NumPy, even of its first version."""
    expected = seeded.weights(f"{PREFIX}/weights", SHAPES)
    checkpoint = {"model": {prefix + key: value for key, value in expected.items()}, "epoch": 3}
    checkpoint |= {"optimizer": {"state": {}, "param_groups": []}, "best_cIoU": np.mean([0.25, 0.5])}
    torch.save(checkpoint, tmp_path / "best.pth", _use_new_zipfile_serialization=False)
    old = (tmp_path / "best.pth").read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    (tmp_path / "old.pth").write_bytes(old)
    for name in ("best.pth", "old.pth"):
        model = build_model(Namespace(weights=str(tmp_path / name)))
        assert all(torch.equal(value, expected[key]) for key, value in model.state_dict().items())
    del checkpoint["model"][f"{prefix}aud_proj.bias"]
    torch.save(checkpoint, tmp_path / "best.pth")
    with pytest.raises(ValueError, match=r"aud_proj.bias is missing, 1 in all.*EZ-VSL"):
        build_model(Namespace(weights=str(tmp_path / "best.pth")))


def test_first_weights(tmp_path):
    """The visual trunk starts from ImageNet, where asked for, and the rest as in the authors' program."""
    torch.manual_seed(0)
    imagenet = {**ResNet18().state_dict(), "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    torch.save(imagenet, tmp_path / "resnet18.pth")
    args = Namespace(weights=None, train_from_scratch=0, weights_resnet_imgnet=tmp_path / "resnet18.pth")
    model = build_model(args)
    assert torch.equal(model.imgnet.layer4[1].conv2.weight, imagenet["layer4.1.conv2.weight"])
    assert model.state_dict().keys() == SHAPES.keys()
    scales = {"audnet.bn1.weight": 0.02, "aud_proj.weight": 0.01, "img_proj.weight": (2 / 512) ** 0.5}
    scales |= {"audnet.conv1.weight": (2 / (64 * 49)) ** 0.5, "audnet.layer4.1.conv2.weight": (2 / (512 * 9)) ** 0.5}
    for name, scale in scales.items():
        assert model.get_parameter(name).std().item() == pytest.approx(scale, rel=0.3 if "bn" in name else 0.05), name
    with pytest.raises(FileNotFoundError, match="train_from_scratch 1"):
        build_model(Namespace(**{**vars(args), "weights_resnet_imgnet": tmp_path / "none.pth"}))


def test_bfloat16_networks_give_float32_features():
    with torch.autocast("cpu", torch.bfloat16):
        outputs = EZVSL()([torch.randn(2, 3, 64, 64)], torch.randn(2, 1, 257, 40))
    assert [output.dtype for output in outputs] == [torch.float32] * 2


def test_loss_and_gradients_do_not_depend_on_the_number_of_processes(tmp_path):
    one, two = losses_with_local_negatives(tmp_path, EZVSLObjective, {})
    assert two < 0.9 * one  # fewer negatives
