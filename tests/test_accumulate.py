"""A batch in parts: the gradients of the whole; what is drawn and counted happens once."""

from contextlib import nullcontext

import pytest
import torch
from small import SmallFrameNet, SmallSoundNet
from test_losses import random_inputs
from torch import nn

from models.sacl import SACL, SACLLoss, SACLObjective
from utils.training.accumulate import backward_in_parts


def small_model(frozen_sound=False):
    torch.manual_seed(0)
    model = SACL(SmallFrameNet(), SmallSoundNet())
    model.sound_net.requires_grad_(not frozen_sound)
    return model


def small_batch(size=8):
    regions = random_inputs(1, batch=size)[3]
    g = torch.Generator().manual_seed(1)
    views = [torch.randn(size, 3, 64, 64, generator=g) for _ in range(2)]
    return {"views": views, "regions": regions, "audio": torch.randn(size, 3, 1, 96, 64, generator=g)}


def gradients(model):
    return [weight.grad for weight in model.parameters()]


@pytest.mark.parametrize("frozen_sound", [False, True])
@pytest.mark.parametrize("parts", [2, 8])
def test_equals_the_batch_in_one_pass(parts, frozen_sound):
    """Without batch norm and dropout, which see a part only, the result is the same but for rounding."""
    batch, objective = small_batch(), SACLObjective(SACLLoss(0.07))
    found = []
    for train in (one_pass, lambda *args: backward_in_parts(*args, parts, nullcontext())):
        model = small_model(frozen_sound).eval()
        found.append((*train(model, objective, batch), gradients(model)))
    (one, one_diagnostics, one_gradients), (many, many_diagnostics, many_gradients) = found
    assert not many.requires_grad and many.item() == pytest.approx(one.item(), rel=1e-5)
    assert many_diagnostics.keys() == one_diagnostics.keys() and len(one_diagnostics) == 4
    for name, diagnostic in one_diagnostics.items():
        assert many_diagnostics[name].value.item() == pytest.approx(diagnostic.value.item(), rel=1e-5)
    for whole, summed in zip(one_gradients, many_gradients, strict=True):
        assert (whole is None) == (summed is None)
        if whole is not None:
            assert whole.abs().max() > 0
            assert torch.allclose(whole, summed, rtol=1e-5, atol=1e-5 * whole.abs().max().item())


def one_pass(model, objective, batch):
    loss, diagnostics = objective(model(batch["views"], batch["audio"]), batch)
    loss.backward()
    return loss.detach(), diagnostics


def test_running_statistics_and_random_numbers_are_those_of_one_pass_over_the_parts():
    batch, objective, model, plain = small_batch(), SACLObjective(SACLLoss(0.07)), small_model(), small_model()
    torch.manual_seed(5)
    with torch.no_grad():
        for part in range(4):
            two = slice(2 * part, 2 * part + 2)
            plain([view[two] for view in batch["views"]], batch["audio"][two])
    drawn = torch.get_rng_state()

    torch.manual_seed(5)
    backward_in_parts(model, objective, batch, 4, nullcontext())
    assert torch.equal(torch.get_rng_state(), drawn)
    for counted, expected in zip(model.buffers(), plain.buffers(), strict=True):
        assert torch.equal(counted, expected)


def test_the_second_pass_drops_out_what_the_first_did():
    """With dropout, the loss of the first pass and the gradients of the second belong to one function."""

    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.dropout = nn.Parameter(torch.ones(64)), nn.Dropout(0.5)

        def forward(self, views, audio):
            return [(self.dropout(self.weight * audio), views[0])]

    model, batch = Noisy(), {"views": [torch.ones(4, 64)] * 2, "audio": torch.ones(4, 64)}
    loss, _ = backward_in_parts(model, lambda outputs, _: (outputs[0][0].sum(), {}), batch, 2, nullcontext())
    assert 0 < loss < 512 and model.weight.grad.sum() == loss
