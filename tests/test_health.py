"""Steps that must not reach the weights, what an epoch adds up to, and what it warns of."""

import pytest
import torch
from small import SmallFrameNet, SmallSoundNet
from test_accumulate import small_batch
from test_losses import random_inputs
from torch import nn

from models.losses import SACLLoss
from models.sacl import SACL, SACLObjective
from utils.training.health import Guard, Health, warnings_of
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
        guard = Guard(OPTIMIZERS[name](network.parameters()), network, keep_buffers=True)
        left_out = []
        for batch in inputs:
            guard.begin()
            network(batch).square().sum().backward()
            left_out.append(guard.step().item())
        return network.state_dict(), left_out

    batches = torch.randn(3, 5, 3, generator=torch.Generator().manual_seed(1))
    broken = batches[0].clone()
    broken[2, 1] = torch.inf
    expected, none = trained(batches)
    found, some = trained([broken, *batches[:2], broken, batches[2], broken])
    assert none == [False] * 3 and some == [True, False, False, True, False, True]
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_means_leave_out_broken_steps_and_survive_a_checkpoint():
    health = Health(torch.device("cpu"))
    for step, (loss, broken) in enumerate([(1.0, False), (torch.nan, True), (3.0, False)], 1):
        health.add(step, torch.tensor(loss), {"sound_spread": torch.tensor(loss / 10)}, torch.tensor(broken))
    assert health.broken_steps() == [2] and health.broken_steps() == []
    expected = {"loss": 2.0, "sound_spread": pytest.approx(0.2), "skipped": pytest.approx(1 / 3)}
    assert health.means() == expected
    other = Health(torch.device("cpu"))
    other.start(health.state())
    assert other.means() == expected
    other.start()
    other.add(1, torch.tensor(1.0), {}, torch.tensor(True))
    other.broken_steps()
    with pytest.raises(ValueError, match="no step of this epoch had a finite gradient"):
        other.means()


def signs(vision, audio, sound, regions, **settings):
    criterion = SACLLoss(0.07, **settings)
    criterion(vision, audio, sound, regions)
    return {name: sign.item() for name, sign in criterion.signs.items()}


def test_signs_tell_a_healthy_batch_from_a_sick_one():
    vision, audio, sound, regions = random_inputs(0)
    healthy = signs(vision, audio, sound, regions)
    assert warnings_of(healthy) == []
    assert healthy["similarity_spread"] > 0.01 and healthy["sound_spread"] > 0.3

    deaf = signs(vision, audio[:1].expand_as(audio), sound, regions)
    assert deaf["sound_spread"] == pytest.approx(0, abs=1e-6) and deaf["similarity_spread"] < 1e-3
    silent = signs(vision, torch.zeros_like(audio), sound, regions)
    assert silent["sound_spread"] == 0
    starts = [warning.partition(":")[0] for warning in warnings_of(silent)]
    assert starts[:2] == ["collapse", "dead sound branch"] and "own sound gets no gradient" in starts[-1]

    flat = [torch.ones_like(view) for view in vision]  # no cell lies above the others: no mask where a region is shared
    assert signs(flat, audio, sound, regions)["empty_masks"] > 0
    against = [-audio[:, :, None, None] + 0.01 * view for view in vision]
    assert signs(against, audio, sound, regions)["positives_without_gradient"] == 1
    assert signs(against, audio, sound, regions, masked_max="exclude")["positives_without_gradient"] == 0


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
    guard, health = Guard(OPTIMIZERS["adamw"](model.parameters()), model, keep_buffers=True), Health(device)
    try:
        for step in range(1, 13):
            if step == 3:  # what is set up once may wait
                torch.cuda.set_sync_debug_mode("error")
            guard.begin()
            with autocast:
                outputs = model(batch["views"], batch["spect"])
            loss = objective(outputs, batch["regions"])
            loss.backward()
            health.add(step, loss, objective.signs, guard.step())
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert health.broken_steps() == [] and health.means()["loss"] > 0
