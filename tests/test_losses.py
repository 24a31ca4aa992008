"""The loss against the authors' values, and against a slow version written from the equations."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize
from torch.utils._python_dispatch import TorchDispatchMode

from models import sacl
from models.sacl import SACLLoss, max_similarity, negatives, positive_masks, retained_cells

GOLDEN = np.load(Path(__file__).parent / "golden" / "sacl_loss.npz")
SETTINGS = sorted({key.rsplit("_loss", 1)[0] for key in GOLDEN.files if key.endswith("_loss")})


def golden_inputs(case):
    vision = [torch.from_numpy(GOLDEN[f"{case}_visual{i}"]) for i in (1, 2)]
    audio = torch.from_numpy(GOLDEN[f"{case}_audio"])
    sound = torch.from_numpy(GOLDEN[f"{case}_sound_128"]).mean(dim=1)
    regions = [torch.from_numpy(GOLDEN[f"{case}_regions{i}"]) for i in (1, 2)]
    return vision, audio, sound, regions


def random_inputs(seed, batch=7, channels=12, size=14, region_size=14, labels=5):
    g = torch.Generator().manual_seed(seed)
    vision = [torch.randn(batch, channels, size, size, generator=g) for _ in range(2)]
    audio, sound = torch.randn(batch, channels, generator=g), torch.rand(batch, 128, generator=g)
    cells = [torch.randint(0, labels, (batch, 1, 4, 4), generator=g) for _ in range(2)]
    cells[0][0], cells[1][1] = 0, 0  # one region in a view
    cells[0][2], cells[1][2] = 1, 3  # nothing shared
    cells[0][3], cells[1][3] = 2, 2  # one region that is not called 0
    index = torch.arange(region_size) * 4 // region_size
    return vision, audio, sound, [view[..., index[:, None], index].to(torch.uint8) for view in cells]


def slow_masks(similarity, regions, ratio):
    """Steps 2 and 3 for one sample: two (H, W) similarities and label maps -> two (H, W) bool arrays."""
    retained = []
    for view in similarity:
        ranked = np.sort(view.ravel())
        retained.append(view > ranked[int(view.size * ratio)])
    if max(regions[0].ravel()) == 0 or max(regions[1].ravel()) == 0:
        segments = [np.ones_like(retained[0])] * 2
    else:
        shared = sorted(set(regions[0].ravel().tolist()) & set(regions[1].ravel().tolist()))
        if not shared:
            return retained
        overlaps = [int((retained[0] & (regions[0] == label)).sum()) for label in shared]
        label = shared[overlaps.index(max(overlaps))]
        segments = [regions[0] == label, regions[1] == label]
    second = retained[1] & segments[1]
    return [retained[0] & segments[0], second if second.any() else segments[1]]


def slow_loss(vision, audio, sound, regions, temperature, retain, negative, masked_max="zero"):
    """Steps 1 to 6, one anchor, one candidate and one view at a time."""
    vision = [view / np.linalg.norm(view, axis=1, keepdims=True) for view in vision]
    audio = audio / np.linalg.norm(audio, axis=1, keepdims=True)
    sound = sound / np.linalg.norm(sound, axis=1, keepdims=True)
    batch, total = len(audio), 0.0
    for i in range(batch):
        own = [np.tensordot(audio[i], view[i], 1) for view in vision]
        masks = slow_masks(own, [view[i, 0] for view in regions], retain)
        order = np.argsort([float(sound[i] @ sound[j]) for j in range(batch)], kind="stable")
        kept = set(order[: int(negative * batch)].tolist()) | {i}
        for view, mask in zip(vision, masks, strict=True):
            logits = []
            for j in range(batch):
                if j not in kept:
                    logits.append(-10 / temperature)
                    continue
                cosines = np.tensordot(audio[j], view[i], 1)
                cells = cosines[mask].tolist()
                if masked_max == "zero" and not mask.all():
                    cells.append(0.0)
                logits.append((max(cells) if cells else -1.0) / temperature)
            logits = np.array(logits)
            peak = logits.max()
            total += peak + np.log(np.exp(logits - peak).sum()) - logits[i]
    return total / batch


@pytest.mark.parametrize("setting", SETTINGS)
def test_golden_loss_and_gradients(setting):
    case, negative, retain, temperature = setting.split("_")
    vision, audio, sound, regions = golden_inputs(case)
    for tensor in (*vision, audio):
        tensor.requires_grad_()
    criterion = SACLLoss(float(temperature[4:]), float(retain[6:]), float(negative[3:]))
    loss = criterion(vision, audio.mean(dim=1), sound, regions)
    assert loss.item() == pytest.approx(float(GOLDEN[f"{setting}_loss"]), rel=1e-5)
    if f"{setting}_grad_view1" in GOLDEN.files:
        loss.backward()
        for name, tensor in (("view1", vision[0]), ("view2", vision[1]), ("audio", audio)):
            expected = GOLDEN[f"{setting}_grad_{name}"]
            assert np.abs(tensor.grad.numpy() - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("case", ["a", "b"])
@pytest.mark.parametrize("retain", [0.25, 0.5])
def test_golden_masks(case, retain):
    vision, audio, _, regions = golden_inputs(case)
    own = [torch.einsum("ichw,ic->ihw", normalize(view), normalize(audio.mean(dim=1))) for view in vision]
    masks = positive_masks([retained_cells(map_, retain) for map_ in own], regions)
    for i, mask in enumerate(masks, 1):
        assert np.array_equal(mask.numpy(), GOLDEN[f"{case}_retain{retain}_mask{i}"] != 0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("retain", "negative"), [(0.5, 0.75), (0.25, 1.0), (0.75, 0.3), (0.0, 0.0), (1.0, 0.5)])
@pytest.mark.parametrize("masked_max", ["zero", "exclude"])
def test_equals_the_slow_version(seed, retain, negative, masked_max):
    vision, audio, sound, regions = random_inputs(seed, region_size=(14, 56)[seed % 2])
    loss = SACLLoss(0.07, retain, negative, masked_max)(vision, audio, sound, regions)
    small = [view[:, :, :: view.shape[2] // 14, :: view.shape[2] // 14].numpy() for view in regions]
    expected = slow_loss(
        [view.double().numpy() for view in vision],
        audio.double().numpy(),
        sound.double().numpy(),
        small,
        0.07,
        min(retain, 195.5 / 196),  # rank 196 of 196 does not exist: everything is dropped
        negative,
        masked_max,
    )
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("ratio", "kept"), [(0.25, 146), (0.5, 97), (0.75, 48)])
def test_the_retain_ratio_is_what_is_dropped(ratio, kept):
    cells = retained_cells(torch.randn(3, 14, 14, generator=torch.Generator().manual_seed(0)), ratio)
    assert cells.flatten(1).sum(dim=1).tolist() == [kept] * 3


def test_constant_similarity_keeps_no_cell_and_stays_finite():
    vision, audio, sound, regions = random_inputs(0)
    vision = [torch.ones_like(view) for view in vision]
    for masked_max in ("zero", "exclude"):
        assert torch.isfinite(SACLLoss(0.005, masked_max=masked_max)(vision, audio, sound, regions))


def test_a_positive_below_the_floor_has_no_gradient_unless_excluded():
    """The published maximum over zeroed cells hides an anchor whose cosines are all negative; "exclude" does not."""
    vision, audio, sound, regions = random_inputs(3, batch=4)
    vision = [-audio[:, :, None, None].expand(view.shape) + 0.01 * view for view in vision]
    gradients = {}
    for masked_max in ("zero", "exclude"):
        features = [view.clone().requires_grad_() for view in vision]
        SACLLoss(0.07, 0.5, 0.0, masked_max)(features, audio, sound, regions).backward()
        gradients[masked_max] = features[0].grad.abs().sum().item()
    assert gradients["zero"] == 0  # negative_ratio 0: the positive alone, and it is floored
    features = [view.clone().requires_grad_() for view in vision]
    SACLLoss(0.07, 0.5, 1.0, "exclude")(features, audio, sound, regions).backward()
    assert features[0].grad.abs().sum() > 0


def test_negatives_are_the_least_alike():
    sound = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.5, 0.5]])
    assert negatives(sound, 0.5)[0].tolist() == [False, False, True, True]


def test_a_batch_of_one():
    vision, audio, sound, regions = (
        [part[:1] for part in value] if isinstance(value, list) else value[:1] for value in random_inputs(1)
    )
    assert SACLLoss()(vision, audio, sound, regions).item() == 0  # nothing to tell apart


def test_rows_of_a_gathered_batch_add_up_to_the_whole():
    vision, audio, sound, regions = random_inputs(5, batch=8)
    criterion = SACLLoss(0.07)
    parts = [
        criterion([v[i : i + 4] for v in vision], audio, sound, [r[i : i + 4] for r in regions], row_offset=i)
        for i in (0, 4)
    ]
    assert sum(parts).item() / 2 == pytest.approx(criterion(vision, audio, sound, regions).item(), rel=1e-6)


def test_never_waits_for_the_device():
    """Tensors without data: anything that reads a value on the host would raise here."""
    vision, audio, sound, regions = random_inputs(0)
    meta = [[part.to("meta") for part in value] if isinstance(value, list) else value.to("meta")
            for value in (vision, audio, sound, regions)]  # fmt: skip
    assert SACLLoss()(*meta).shape == ()


class LargestTensor(TorchDispatchMode):
    """Notes how many values the largest tensor made meanwhile holds."""

    values = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else [made]:
            if isinstance(tensor, torch.Tensor):
                self.values = max(self.values, tensor.numel())
        return made


@pytest.mark.parametrize("masked_max", ["zero", "exclude"])
@pytest.mark.parametrize("images", [1, 3, 7])
def test_a_few_images_at_a_time_give_the_same_loss_and_gradients(images, masked_max, monkeypatch):
    found = []
    for cells in (sacl.PAIR_CELLS, images * 16 * 196):
        monkeypatch.setattr(sacl, "PAIR_CELLS", cells)
        vision, audio, sound, regions = random_inputs(2, batch=16, channels=4)
        inputs = [tensor.requires_grad_() for tensor in (*vision, audio)]
        with LargestTensor() as largest:
            loss = SACLLoss(0.07, masked_max=masked_max)(vision, audio, sound, regions)
            loss.backward()
        found.append((loss, [tensor.grad for tensor in inputs], largest.values))
    (whole, whole_gradients, all_pairs), (parts, part_gradients, some_pairs) = found
    assert parts.item() == pytest.approx(whole.item(), rel=1e-6)
    for one, other in zip(whole_gradients, part_gradients, strict=True):
        assert torch.allclose(one, other, rtol=1e-6, atol=1e-6 * one.abs().max().item())
    masks = 16 * 196 * 196  # which cells share a region; this grows with the batch, not with its square
    assert all_pairs == max(16 * 16 * 196, masks) and some_pairs == max(images * 16 * 196, masks)


def test_the_pairs_of_a_large_batch_are_never_there_at_once():
    """4,096 clips on meta tensors: forward and backward without 4,096 x 4,096 x 196 cosines."""
    vision = torch.empty(4096, 8, 14, 14, device="meta", requires_grad=True)
    audio = torch.empty(4096, 8, device="meta", requires_grad=True)
    mask = torch.empty(4096, 14, 14, dtype=torch.bool, device="meta")
    with LargestTensor() as largest:
        max_similarity(vision, audio, mask, 0.0).sum().backward()
    assert vision.grad.shape == vision.shape and audio.grad.shape == audio.shape
    assert largest.values == max(sacl.PAIR_CELLS // (4096 * 196) * 4096 * 196, 4096 * 4096)


def test_wrong_masked_max_is_refused():
    with pytest.raises(ValueError, match="masked_max"):
        SACLLoss(masked_max="none")
