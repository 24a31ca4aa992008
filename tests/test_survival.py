"""Runs that are killed, stopped, starved or fed nonsense go on, or say what is wrong. The networks are small."""

import json
import random
import signal
import time
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from conftest import fail, finish, run, signal_all, start

from arguments_train import parse_args
from models.weights import load
from utils.training.checkpoint import save
from utils.training.resume import check_resume

SMALL = (
    "tests/small.py --imgSize 32 --num_train 24 --num_epoch 8 --eval_epoch 4 --num_visual 0 --lr_schedule constant"
    " --save_minutes 0"
)
CASES = {  # a run of 8 epochs of 6 steps, its processes, and what befalls it
    "workers": ("--batch_size_per_gpu 4 --workers 2", 1, (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL)),
    "two_processes": ("--batch_size_per_gpu 2 --workers 1", 2, (signal.SIGKILL, signal.SIGTERM)),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory, datasets):
    folder = tmp_path_factory.mktemp("survival")
    (folder / "Datasets").symlink_to(datasets)
    return folder


def tensors(state):
    if isinstance(state, torch.Tensor):
        return [state]
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, list | tuple) else []
    return [tensor for part in parts for tensor in tensors(part)]


def wait_for_checkpoints(process, path, count):
    """Until a process has written last.pth so many times."""
    seen, before = 0, path.stat().st_mtime_ns if path.exists() else 0
    while seen < count:
        assert process.poll() is None, finish(process, 10)
        now = path.stat().st_mtime_ns if path.exists() else 0
        seen, before = seen + (now != before), now
        time.sleep(0.002)


@pytest.mark.parametrize("case", CASES)
def test_killed_and_stopped_at_random_moments_it_ends_as_if_undisturbed(case, place):
    """By SIGKILL and by SIGTERM: to the bit the same weights, averages, random states and log as an undisturbed run's.
    Only rank 0 writes (see small.py)."""
    flags, processes, signals = CASES[case]
    command, whole, folder = f"{SMALL} {flags}", place / case, place / f"{case}_disturbed"
    run(f"{command} --ckpt {whole.name}", place, processes)
    draw, positions = random.Random(), []
    for number in signals:
        process = start(f"{command} --ckpt {folder.name} {'--resume' * bool(positions)}", place, processes)
        # The first time soon after an epoch has begun, so that one of the moments lies within an epoch.
        wait_for_checkpoints(process, folder / "last.pth", draw.randint(2, 14) if positions else 2)
        time.sleep(draw.uniform(0, 0.05) if positions else 0)
        signal_all(process, number)
        output, errors = finish(process, 60)
        positions.append(torch.load(folder / "last.pth")["position"])
        if number == signal.SIGTERM:
            assert process.returncode == (143 if processes == 1 else 1), errors  # torchrun itself ends with 1
            assert any(f"stopped {when}" in output for when in ("in epoch", "before the eval", "during the eval")), (
                errors
            )
    run(f"{command} --ckpt {folder.name} --resume", place, processes)

    states = [torch.load(one / "last.pth") for one in (whole, folder)]
    for a, b in zip(*map(tensors, states), strict=True):
        assert torch.equal(a, b), positions
    assert states[0]["position"] == states[1]["position"] and states[0]["versions"] == states[1]["versions"]
    assert (whole / "log.jsonl").read_text() == (folder / "log.jsonl").read_text()
    assert any(0 < position["step"] < position["steps"] for position in positions), positions


def test_another_number_of_processes_goes_on_at_the_border_of_epochs(place):
    """One process for an epoch, two for the next, with the same global batch: the optimizer's steps go on."""
    flags = f"{SMALL} --workers 0 --num_epoch 1"
    run(f"{flags} --batch_size_per_gpu 4 --ckpt grown", place)
    output = run(f"{flags} --batch_size_per_gpu 2 --ckpt grown --resume --num_epoch 2", place, 2)
    assert "going on although 1 processes were, 2 are; a batch was 4, is 4" in output
    state = torch.load(place / "grown" / "last.pth")
    assert len(state["processes"]) == 2 and state["position"]["epoch"] == 2
    assert state["optimizer"]["state"][0]["step"] == 12
    log = [json.loads(line) for line in (place / "grown" / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in log] == [0, 1, 2]


def test_a_run_that_died_before_its_summary_writes_it_and_goes_on_with_another_optimizer(place):
    flags = f"{SMALL} --batch_size_per_gpu 4 --workers 0 --num_epoch 1 --ckpt late"
    run(flags, place)
    summary = place / "late" / "summary.json"
    before = summary.read_text()
    summary.unlink()
    run(f"{flags} --resume", place)
    assert summary.read_text() == before
    assert "has finished its 1 epochs" in fail(f"{flags} --resume", place)
    output = run(f"{flags} --resume --force_resume --num_epoch 2 --optimizer sgd", place)
    assert "--optimizer was adamw, is sgd" in output and "begins without any" in output
    assert json.loads(summary.read_text())["last"]["epoch"] == 2


def test_a_failing_rank_ends_the_run_with_its_message(place):
    process = start(f"{SMALL} --batch_size_per_gpu 2 --workers 0 --ckpt broken", place, 2, SMALL_BREAKS="rank")
    errors = finish(process, 60)[1]
    assert process.returncode != 0 and "error: frame 7 is broken: prepare it again" in errors
    assert "lost another one" in errors and "Traceback" not in errors.partition("torch/distributed")[0]


def test_a_gradient_that_is_not_finite_stops_or_is_skipped_and_counted(place):
    flags = f"{SMALL} --batch_size_per_gpu 4 --workers 0 --num_epoch 1 --ckpt nan"
    sentence = fail(flags, place, SMALL_BREAKS="loss")
    broken = json.loads((place / "nan" / "broken.jsonl").read_text())
    assert broken["epoch"] == 1 and broken["step"] == 2 and len(set(broken["rows"])) == 4
    assert f"step 2 is not finite: look at rows {', '.join(map(str, broken['rows']))} of" in sentence
    assert "go on from nan/last.pth (epoch 1, step 1) with --resume" in sentence
    assert torch.load(place / "nan" / "last.pth")["position"]["step"] == 1

    output = run(f"{flags} --resume --on_nan skip", place, SMALL_BREAKS="loss")  # the second call is step 3 now
    log = json.loads((place / "nan" / "log.jsonl").read_text().splitlines()[-1])
    assert log["skipped"] == pytest.approx(1 / 6) and log["loss"] == log["loss"]
    assert "warning, epoch 1: steps were skipped" in output
    assert all(tensor.isfinite().all() for tensor in tensors(torch.load(place / "nan" / "last.pth")["model"]))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here that is always full")
def test_a_full_disk_leaves_the_old_checkpoint(tmp_path):
    path = tmp_path / "last.pth"
    save({"weights": torch.ones(3)}, path)
    for size in (3, 10**6):  # which fails when it is closed, and while it is written
        (tmp_path / "last.pth.partial").symlink_to("/dev/full")
        with pytest.raises(
            OSError, match=r"last.pth cannot be written \(No space left on device\).*intact; free space"
        ):
            save({"weights": torch.zeros(size)}, path)
        assert torch.equal(load(path)["weights"], torch.ones(3))
        assert [file.name for file in tmp_path.iterdir()] == ["last.pth"]


def state_of(step, processes=2, **arguments):
    arguments = {"batch_size_per_gpu": 8, "lr_frame": 1e-3, "num_epoch": 4, "lr_schedule": "constant", **arguments}
    position = {"epoch": 1, "step": step, "steps": 6}
    return {"position": position, "arguments": arguments, "processes": [{}] * processes}


FREE = {"resume_may_change": parse_args(["--trainset", "demo"]).resume_may_change}


def now(**changed):
    return Namespace(**{**state_of(0)["arguments"], **FREE, "force_resume": False, **changed})


def test_changed_settings_are_listed_and_refused_unless_forced(tmp_path):
    path = Path("out/last.pth")
    assert check_resume(state_of(3), now(num_epoch=9), 2, path) == ({"epoch": 1, "step": 3, "steps": 6}, [])
    changed = {"lr_frame": 1e-4, "batch_size_per_gpu": 4}
    listed = "--batch_size_per_gpu was 8, is 4; --lr_frame was 0.001, is 0.0001"
    with pytest.raises(ValueError, match=listed):
        check_resume(state_of(0), now(**changed), 2, path)
    assert "; ".join(check_resume(state_of(0), now(**changed, force_resume=True), 2, path)[1]) == listed
    with pytest.raises(ValueError, match="--num_epoch was 4, is 9"):  # its end is where the cosine ends
        check_resume(state_of(0, lr_schedule="cosine"), now(lr_schedule="cosine", num_epoch=9), 2, path)
    path = tmp_path / "last.pth"
    assert check_resume(state_of(0), now(num_epoch=1), 2, path)[0]["epoch"] == 1  # it has not told its scores yet
    (tmp_path / "summary.json").write_text('{"last": {"epoch": 1}}')
    with pytest.raises(ValueError, match="has finished its 1 epochs: raise --num_epoch"):
        check_resume(state_of(0), now(num_epoch=1), 2, path)


def test_within_an_epoch_the_processes_are_as_many_or_it_begins_again():
    path = Path("out/last.pth")
    four = now(batch_size_per_gpu=4)
    with pytest.raises(ValueError, match=r"middle of an epoch \(epoch 2, step 3, 2 processes, batches of 16\): go on"):
        check_resume(state_of(3), four, 4, path)
    position, different = check_resume(state_of(3), now(batch_size_per_gpu=4, force_resume=True), 4, path)
    assert position["step"] == 0 and different == ["2 processes were, 4 are; a batch was 16, is 16"]
    for step in (0, 6):  # between epochs, before and after the evaluation
        assert check_resume(state_of(step), four, 4, path)[0]["step"] == step
