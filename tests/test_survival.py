"""Runs that are killed, stopped, starved or fed nonsense go on, or say what is wrong. The networks are small."""

import os
import random
import signal
import time

import pytest
import torch
from conftest import run, start

SMALL = "small.py --imgSize 32 --num_train 24 --num_epoch 8 --eval_epoch 4 --num_visual 0 --save_minutes 0"
CASES = {  # a run of 8 epochs of 6 steps, with its processes
    "alone": ("--batch_size_per_gpu 4 --workers 0", 1),
    "workers": ("--batch_size_per_gpu 4 --workers 2", 1),
    "two_processes": ("--batch_size_per_gpu 2 --workers 1", 2),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory, datasets):
    folder = tmp_path_factory.mktemp("survival")
    (folder / "Datasets").symlink_to(datasets)
    return folder


@pytest.fixture(scope="module", params=CASES)
def undisturbed(request, place):
    """A case, its command, and the folder in which it ran to its end."""
    flags, processes = CASES[request.param]
    command = f"tests/{SMALL} --lr_schedule constant {flags}"
    run(f"{command} --ckpt {request.param}", place, processes)
    return command, processes, place / request.param


def same_end(one, other):
    """Whether two runs ended with the same weights, averages and log, to the bit."""
    states = [torch.load(folder / "last.pth") for folder in (one, other)]
    for key in ("model", "optimizer"):
        for a, b in zip(tensors(states[0][key]), tensors(states[1][key]), strict=True):
            assert torch.equal(a, b)
    assert states[0]["position"] == states[1]["position"]
    assert (one / "log.jsonl").read_text() == (other / "log.jsonl").read_text()


def tensors(state):
    if isinstance(state, torch.Tensor):
        return [state]
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, list | tuple) else []
    return [tensor for part in parts for tensor in tensors(part)]


def wait_for_checkpoint(process, folder):
    """Until a run in the folder has been trained for a moment: its last.pth is not the one from before."""
    before = (folder / "last.pth").stat().st_mtime_ns if (folder / "last.pth").exists() else 0
    while not (folder / "last.pth").exists() or (folder / "last.pth").stat().st_mtime_ns == before:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def test_killed_at_random_moments_it_ends_as_if_undisturbed(undisturbed, place):
    command, processes, whole = undisturbed
    folder, draw = place / f"{whole.name}_killed", random.Random(whole.name)
    positions = []
    for resume in ("", "--resume", "--resume"):
        process = start(f"{command} --ckpt {folder.name} {resume}", place, processes)
        wait_for_checkpoint(process, folder)
        time.sleep(draw.uniform(0, 1))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        positions.append(torch.load(folder / "last.pth")["position"])
    run(f"{command} --ckpt {folder.name} --resume", place, processes)
    same_end(whole, folder)
    assert any(0 < position["step"] < position["steps"] for position in positions), positions


def test_sigterm_saves_and_exits_with_143(undisturbed, place):
    command, processes, whole = undisturbed
    folder = place / f"{whole.name}_preempted"
    process = start(f"{command} --ckpt {folder.name}", place, processes)
    wait_for_checkpoint(process, folder)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGTERM)  # as a cluster does: to all processes, the workers among them
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 143 or processes > 1 and "exitcode  : 143" in errors, (process.returncode, errors)
    assert "--resume" in output and "Traceback" not in errors.partition("torch/distributed")[0], (output, errors)
    run(f"{command} --ckpt {folder.name} --resume", place, processes)
    same_end(whole, folder)
