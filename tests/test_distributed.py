"""Several processes compute what one computes, and one that waits for another for too long names it."""

import os
import signal
import time
from contextlib import nullcontext
from socket import socket

import pytest
import torch
import torch.multiprocessing as mp
from conftest import REPO, abort, fail, finish, start
from gathered_batch_norm import gather_batch_norms
from test_losses import random_inputs
from test_sound_tests import OneHotSet, look
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from dataset.sampler import EpochSampler
from models.pcm import PCM
from models.sacl import SACLLoss, SACLObjective
from models.simsiam import SimSiamHead
from models.sspl import SSPL, SSPLLoss
from models.vggish import SoundNet
from utils import distributed
from utils.evaluation.evaluate import build_test_loader
from utils.training.accumulate import backward_in_parts


class Heads(nn.Module):
    """Small layers for each stream, with batch norms, so that there are parameters to compare."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.see = nn.Sequential(nn.Conv2d(12, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1))
        self.hear = nn.Sequential(nn.Linear(12, 8, bias=False), nn.BatchNorm1d(8, affine=False), nn.Linear(8, 8))

    def forward(self, vision, sounds):
        audio, sound = sounds.split([12, 128], dim=1)
        return [self.see(view) for view in vision], self.hear(audio), sound


def run(rank, world, port, folder, compute):
    """Process `rank` of `world`, as torchrun would start it; rank 0 saves what compute(rank, world) found."""
    if world > 1:
        os.environ.update(MASTER_ADDR="localhost", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(world))
    with distributed.processes("cpu", minutes=2):
        result = compute(rank, world)
        if rank == 0:
            torch.save(result, folder / f"{world}.pt")


def in_processes(world, folder, compute, seconds=120):
    """What rank 0 of `world` processes found."""
    if world == 1:
        run(0, 1, None, folder, compute)
        return torch.load(folder / "1.pt")
    group = mp.spawn(run, (world, free_port(), folder, compute), nprocs=world, join=False)
    end = time.monotonic() + seconds
    try:
        while not group.join(timeout=1):
            assert time.monotonic() < end, "the processes did not end: their stacks are in the captured stderr"
    finally:
        for process in group.processes:
            if process.is_alive():
                os.kill(process.pid, signal.SIGABRT)  # prints its stacks
            process.join(timeout=2)
            process.kill()
    return torch.load(folder / f"{world}.pt")


def free_port():
    with socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def share_of_a_batch(rank, world):
    """Loss and gradients of one batch of 8 in `world` parts, in one pass and in two parts; and how samples and test
    items are shared."""
    vision, audio, sound, regions = random_inputs(5, batch=8)
    mine = slice(rank * 8 // world, (rank + 1) * 8 // world)
    batch = {"views": [view[mine] for view in vision], "audio": torch.cat([audio, sound], dim=1)[mine]}
    batch["regions"] = [view[mine] for view in regions]
    objective, result = SACLObjective(SACLLoss(0.07)), {}
    for parts in (1, 2) if world < 4 else (1,):
        model = gather_batch_norms(Heads()) if world > 1 else Heads()
        heads = DistributedDataParallel(model) if world > 1 else model
        if parts == 1:
            loss, diagnostics = objective(heads(batch["views"], batch["audio"]), batch)
            loss.backward()
        else:
            model.eval()  # batch norm would see a part only
            loss, diagnostics = backward_in_parts(heads, objective, batch, parts, nullcontext())
        loss = distributed.mean(loss.detach())
        grads, buffers = [p.grad for p in model.parameters()], [buffer.float() for buffer in model.buffers()]
        values = {name: diagnostic.value for name, diagnostic in diagnostics.items()}
        result[parts] = {"loss": loss, "grads": grads, "buffers": buffers, "diagnostics": values}
    sampler = EpochSampler(17, 4 // world, seed=3, rank=rank, world_size=world)
    shares = distributed.gather_lists([(rank, list(sampler))])
    items = distributed.gather_lists(list(build_test_loader(range(5), batch_size=2, workers=0).sampler))
    return {**result, "shares": shares, "items": items, "largest": distributed.maximum(rank)}


@pytest.mark.parametrize("world", [2, 4])
def test_loss_and_gradients_do_not_depend_on_the_number_of_processes(world, tmp_path):
    """With batch norm over all processes, in one pass; without, also in parts. Five items are shared unevenly."""
    one, many = (in_processes(n, tmp_path, share_of_a_batch) for n in (1, world))
    for parts in (1, 2) if world < 4 else (1,):
        whole, shared = one[parts], many[parts]
        assert shared["loss"].item() == pytest.approx(whole["loss"].item(), rel=1e-5)
        spreads = [found["diagnostics"]["sound_spread"].item() for found in (shared, whole)]
        assert spreads[0] == pytest.approx(spreads[1], rel=1e-5)
        for kind in ("grads", "buffers"):
            for a, b in zip(whole[kind], shared[kind], strict=True):
                assert torch.allclose(a, b, rtol=1e-5, atol=1e-5 * float(a.abs().max())), (a - b).abs().max()
    assert sorted(many["items"]) == list(range(5)) and many["largest"] == world - 1
    whole = one["shares"][0][1]  # the same batches of the same epoch, in parts
    parts = [sum((batches[step] for _, batches in many["shares"]), []) for step in range(len(whole))]
    assert parts == whole


def share_of_a_test(rank, world):
    """Scores of seven items, one of which cannot be read, with all sound tests; and the order of items."""
    test_set = OneHotSet(7)
    test_set.find_missing = lambda: {}
    audio = test_set.audio

    def unreadable(index):
        if index == 2:
            raise ValueError("i2.wav cannot be read")
        return audio(index)

    test_set.audio = unreadable
    test_set.benchmark.videos = ["x", "x", "x", "y", "y", "z", "z"]
    result, sound_tests = look(test_set, skip_missing=True, num_visual=3)
    tested = {one.name: one.compute() for one in sound_tests}
    return {"ids": [item["id"] for item in result.items], **result.summary(["fixed0.5", "median"]), **tested}


@pytest.mark.parametrize("world", [2, 4])
def test_scores_do_not_depend_on_the_number_of_processes(world, tmp_path):
    """Seven items are shared unevenly, and one is missing: each other one counts once."""
    one, many = (in_processes(n, tmp_path, share_of_a_test) for n in (1, world))
    assert one["ids"] == ["i0", "i1", "i3", "i4", "i5", "i6"] and one["n"] == 6 and one["partial"]
    assert one["missing"] == [{"id": "i2", "error": "i2.wav cannot be read"}] and one["ciou"] == 1
    assert many == one


def share_of_a_step(rank, world):
    """Loss, gradients and running statistics of SSPL for one batch of 8 in `world` parts."""
    torch.manual_seed(0)
    sound_net = SoundNet()
    sound_net.features, sound_net.embeddings = nn.Identity(), nn.Linear(8, 128)  # VGGish in small; it is frozen
    sspl = SSPL(nn.Conv2d(3, 512, 1), sound_net, SimSiamHead(width=32, bottleneck=16), PCM(cycles=1))
    sspl = gather_batch_norms(sspl).train()
    model = DistributedDataParallel(sspl) if world > 1 else sspl
    views, audio = [torch.randn(8, 3, 6, 6) for _ in range(2)], torch.randn(8, 3, 1, 2, 4)
    mine = slice(rank * 8 // world, (rank + 1) * 8 // world)
    loss = SSPLLoss()(*model([view[mine] for view in views], audio[mine])[:2])
    loss.backward()
    losses = distributed.gather_lists([loss.item()])
    grads = {name: p.grad for name, p in sspl.named_parameters() if p.grad is not None}
    return {"loss": sum(losses) / world, "grads": grads, "buffers": dict(sspl.named_buffers())}


@pytest.mark.parametrize("world", [2, 4])
def test_sspl_does_not_depend_on_the_number_of_processes(world, tmp_path):
    """Gradients meet and batch norms look at all samples, which the published program misses."""
    one, two = (in_processes(n, tmp_path, share_of_a_step) for n in (1, world))
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
    assert len(one["grads"]) == 51 and one["grads"].keys() == two["grads"].keys()
    for name, single in one["grads"].items():
        difference = (single - two["grads"][name]).abs().max()
        assert difference <= min(1e-5, 5e-5 * single.abs().max()), name  # 13 batch norms deep, in float32
    for name, single in one["buffers"].items():
        assert torch.allclose(single, two["buffers"][name], rtol=1e-4, atol=1e-6), name


def start_two(late, how):
    """Process `late` of waiting.py, and the other one, which waits for it."""
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port())}
    programs = [start(["tests/waiting.py", str(late), how], REPO, RANK=str(rank), **group) for rank in (0, 1)]
    return programs[late], programs[1 - late]


@pytest.mark.parametrize(("late", "how"), [(0, "stuck"), (1, "stuck"), (1, "stuck_in_step")])
def test_a_process_that_makes_no_progress_is_named(late, how):
    """Also by one that waits in a collective that is not counted, as those of gradients are not."""
    stuck, other = start_two(late, how)
    errors = finish(other, 30)[1]
    named = f"process {late} (last report: evaluation, item 1 of 40)"
    minutes = "0.1" if how == "stuck_in_step" else "0.0333"
    sentence = f"error: process {1 - late} has waited {minutes} minutes without any progress of {named}\n"
    assert other.returncode == 1 and errors.endswith(sentence), errors
    assert how == "stuck_in_step" or f"process {1 - late} waits for {named}\n" in errors
    abort(stuck)


@pytest.mark.parametrize("late", [0, 1])
def test_a_process_without_a_heartbeat_is_named(late):
    """As one whose machine has vanished. Process 0 holds the store through which the heartbeats go."""
    stopped, other = start_two(late, "stopped")
    assert stopped.stdout.readline() == "it is known\n"
    stopped.send_signal(signal.SIGSTOP)
    errors = finish(other, 30)[1]
    named = f"process {late} (last report: evaluation, item 1 of 40)"
    sentence = f"error: process {1 - late} has lost {named}: no heartbeat for 3 s\n"
    assert other.returncode == 1 and errors.endswith(sentence), errors
    abort(stopped)


def test_a_slow_process_that_reports_progress_is_waited_for():
    """For twice the limit."""
    for process in start_two(1, "slow"):
        output, errors = finish(process, 30)
        assert process.returncode == 0 and output == "[0, 1]\n", errors


def test_a_process_that_never_starts_is_reported():
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port())}
    sentence = fail(["tests/waiting.py", "1", "stuck_in_step"], REPO, RANK="0", **group)
    assert sentence.startswith("error: not every process has started: ") and "1/2" in sentence
