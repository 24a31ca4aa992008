"""Steps that must not reach the weights, what an epoch adds up to, and what it warns of."""

import pytest
import torch
from small import SmallFrameNet, SmallSoundNet
from test_accumulate import small_batch
from test_losses import random_inputs
from torch import nn

from main import training_step
from models.diagnostics import Diagnostic
from models.sacl import SACL, SACLLoss, SACLObjective
from utils.training.epoch_stats import EpochStats
from utils.training.non_finite import NonFiniteGuard
from utils.training.precision import choose_autocast

OPTIMIZERS = {
    "adamw": lambda weights: torch.optim.AdamW(weights, lr=0.1, fused=True),
    "adam": lambda weights: torch.optim.Adam(weights, lr=0.1, fused=True),
    "sgd": lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9, fused=True),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_broken_step_leaves_no_trace(name):
    """Two runs see the same batches; one also sees a broken one first, in the middle and last."""

    def trained(inputs):
        torch.manual_seed(0)
        network = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))
        optimizer = OPTIMIZERS[name](network.parameters())
        guard = NonFiniteGuard(optimizer, network, keep_buffers=True)
        left_out = []
        for batch in inputs:
            guard.before_step()
            optimizer.zero_grad()
            network(batch).square().sum().backward()
            optimizer.step()
            left_out.append(guard.skipped.item())
        return network.state_dict(), left_out

    batches = torch.randn(3, 5, 3, generator=torch.Generator().manual_seed(1))
    broken = batches[0].clone()
    broken[2, 1] = torch.inf
    expected, none = trained(batches)
    found, some = trained([broken, *batches[:2], broken, batches[2], broken])
    assert none == [False] * 3 and some == [True, False, False, True, False, True]
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def spread(value):
    return {"sound_spread": Diagnostic(torch.tensor(value), 1e-3, False, "dead sound branch")}


def test_means_leave_out_broken_steps_and_survive_a_checkpoint():
    stats = EpochStats(torch.device("cpu"))
    for step, (loss, broken) in enumerate([(1.0, False), (torch.nan, True), (3.0, False)], 1):
        stats.add(step, torch.tensor(loss), spread(loss / 10), torch.tensor(broken))
    assert stats.non_finite_steps() == [2] and stats.non_finite_steps() == []
    expected = {"loss": 2.0, "sound_spread": pytest.approx(0.2), "skipped": pytest.approx(1 / 3)}
    assert stats.means() == expected
    other = EpochStats(torch.device("cpu"))
    other.start(stats.state())
    assert other.means() == expected
    other.add(4, torch.tensor(2.0), spread(0.2), torch.tensor(False))  # goes on with the sums
    assert other.non_finite_steps() == [] and other.means() == expected | {"skipped": pytest.approx(1 / 4)}
    other.start()
    other.add(1, torch.tensor(1.0), {}, torch.tensor(True))
    other.non_finite_steps()
    with pytest.raises(ValueError, match="no step of this epoch had a finite gradient"):
        other.means()


def test_warnings_come_from_the_limits_of_the_diagnostics():
    stats = EpochStats(torch.device("cpu"))
    diagnostics = {
        "low": Diagnostic(torch.tensor(0.1), 0.2, False, "too low"),
        "high": Diagnostic(torch.tensor(0.9), 0.5, True, "too high"),
        "fine": Diagnostic(torch.tensor(0.3), 0.2, False, "never said"),
    }
    stats.add(1, torch.tensor(1.0), diagnostics, torch.tensor(False))
    stats.add(2, torch.tensor(1.0), diagnostics, torch.tensor(True))
    stats.non_finite_steps()
    low, high, skipped = stats.warnings(stats.means())
    assert low == "too low (low 0.1)" and high == "too high (high 0.9)"
    assert skipped.startswith("steps were skipped") and skipped.endswith("(skipped 0.5)")


def diagnostics_of(vision, audio, sound, regions, **settings):
    """The means of an epoch of this one step, and its warnings."""
    stats = EpochStats(torch.device("cpu"))
    stats.add(1, *SACLLoss(0.07, **settings).with_diagnostics(vision, audio, sound, regions), torch.tensor(False))
    assert stats.non_finite_steps() == []
    means = stats.means()
    return means, stats.warnings(means)


def test_diagnostics_tell_a_healthy_batch_from_a_sick_one():
    vision, audio, sound, regions = random_inputs(0)
    healthy, warnings = diagnostics_of(vision, audio, sound, regions)
    assert warnings == []
    assert healthy["similarity_spread"] > 0.01 and healthy["sound_spread"] > 0.3

    deaf, _ = diagnostics_of(vision, audio[:1].expand_as(audio), sound, regions)
    assert deaf["sound_spread"] == pytest.approx(0, abs=1e-6) and deaf["similarity_spread"] < 1e-3
    silent, warnings = diagnostics_of(vision, torch.zeros_like(audio), sound, regions)
    assert silent["sound_spread"] == 0
    starts = [warning.partition(":")[0] for warning in warnings]
    assert starts[:2] == ["collapse", "dead sound branch"] and "own sound gets no gradient" in starts[-1]

    flat = [torch.ones_like(view) for view in vision]  # no cell lies above the others: no mask where a region is shared
    assert diagnostics_of(flat, audio, sound, regions)[0]["empty_masks"] > 0
    against = [-audio[:, :, None, None] + 0.01 * view for view in vision]
    excluded = diagnostics_of(against, audio, sound, regions, masked_max="exclude")[0]
    assert diagnostics_of(against, audio, sound, regions)[0]["positives_without_gradient"] == 1
    assert excluded["positives_without_gradient"] == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here: there is no device to wait for")
def test_ten_steps_do_not_wait_for_the_device():
    device = torch.device("cuda")
    torch.manual_seed(0)
    model = SACL(SmallFrameNet(), SmallSoundNet()).to(device, memory_format=torch.channels_last)
    batch = {
        name: [part.to(device) for part in value] if isinstance(value, list) else value.to(device)
        for name, value in small_batch().items()
    }
    objective, autocast = SACLObjective(SACLLoss(0.07)), choose_autocast("bfloat16", device)
    optimizer, stats = OPTIMIZERS["adamw"](model.parameters()), EpochStats(device)
    guard = NonFiniteGuard(optimizer, model, keep_buffers=True)
    try:
        for step in range(1, 13):
            if step == 3:  # what is set up once may wait
                torch.cuda.set_sync_debug_mode("error")
            guard.before_step()
            loss, diagnostics = training_step(model, objective, optimizer, batch, autocast)
            stats.add(step, loss, diagnostics, guard.skipped)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert stats.non_finite_steps() == [] and stats.means()["loss"] > 0
