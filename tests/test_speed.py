"""utils.speed prints its tables. How fast anything is, no test judges."""

import re
from functools import partial

import pytest
import torch
from test_losses import random_inputs

from models import METHODS
from models.sacl import SACLLoss
from utils.speed import data, eval, scale, train
from utils.speed.__main__ import main
from utils.speed.published import looped_loss

SMALL = "--imgSize 96 --workers 0"


@pytest.fixture
def small(monkeypatch):
    """The commands on little data, one round each."""
    monkeypatch.setattr(data, "benchmark_loading", partial(data.benchmark_loading, rows=2, rounds=1))
    monkeypatch.setattr(train, "benchmark", partial(train.benchmark, rounds=1, warm_up=0))
    monkeypatch.setattr(scale, "benchmark", partial(scale.benchmark, steps=1))
    monkeypatch.setattr(eval, "benchmark", partial(eval.benchmark, maps=20, batch=16, rounds=1))


def rows(text):
    """The rows of a table: {label: numbers}."""
    found = {}
    for line in text.splitlines():
        if match := re.fullmatch(r"(\S.*?)((?: +[\d.]+){5})", line):
            found[match[1]] = [float(number) for number in match[2].split()]
    return found


def test_data(small, capsys):
    threads = torch.get_num_threads()
    main(["data", *SMALL.split()])
    assert torch.get_num_threads() == threads
    table = rows(capsys.readouterr().out)
    assert len(table) == 6
    milliseconds, rate, *_, speedup = table["published procedure, float32 files"]
    assert rate == pytest.approx(1000 / milliseconds, rel=0.01) and speedup == 1
    first = milliseconds
    milliseconds, *_, speedup = table["training loader, uint8 files"]
    assert speedup == pytest.approx(first / milliseconds, rel=0.05)


def test_waiting_for_data(monkeypatch, capsys):
    waiting = partial(data.benchmark_waiting, device=torch.device("cpu"), batch=4, steps=2)
    monkeypatch.setattr(data, "benchmark", lambda args, device: waiting(args))
    main(["data", *SMALL.split()])
    shares = [line.split()[-1] for line in capsys.readouterr().out.splitlines()[1:]]
    assert len(shares) == 5 and all(0 <= float(share.rstrip("%")) <= 100 for share in shares)


@pytest.mark.parametrize("method", [method for method in METHODS if method != "sslalign"])  # not trained
def test_train(small, capsys, method):
    main(["train", "--batch", "2", "--method", method, *SMALL.split()])
    text = capsys.readouterr().out
    table = rows(text)
    assert [name for name in table if name.startswith("bfloat16")] == [
        "bfloat16: encoders and optimizer", "bfloat16: and the loss", "bfloat16: and the data"
    ]  # fmt: skip
    assert ("published step and its data" in table) == (method == "sacl")
    assert "GFLOP a sample" in text and text.count("TFLOP/s") == 2


def test_the_published_step_has_our_loss():
    """Else its speed would be compared with that of something else."""
    vision, audio, sound, regions = random_inputs(3, batch=6)
    looped = looped_loss(vision, audio, sound, regions, 0.07, 0.5, 0.75)
    assert looped.item() == pytest.approx(SACLLoss(0.07)(vision, audio, sound, regions).item(), rel=1e-5)


def test_scale(small, capsys):
    main(["scale", "--batch", "2", "--size", "32", "--processes", "2"])
    table = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:3] for row in table] == [["1", "2", "32"], ["2", "2", "32"]]
    for count, batch, _, seconds, rate, gib in table:
        assert float(rate) == pytest.approx(int(count) * int(batch) / float(seconds), rel=0.02)
        assert 0.5 < float(gib) < 8


def test_scale_times_every_batch_size_and_number_of_processes(monkeypatch, capsys):
    monkeypatch.setattr(scale, "elastic_launch", lambda config, step: lambda *args: {0: (0.5, config.nproc_per_node)})
    main(["scale", "--batch", "2", "4", "--size", "32", "48", "64", "--processes", "2", "3"])
    table = [line.split()[:3] for line in capsys.readouterr().out.splitlines()[2:]]
    largest = [["1", "2", "64"], ["1", "4", "64"]]
    assert table == [*largest, ["1", "4", "32"], ["1", "4", "48"], ["2", "2", "64"], ["3", "2", "64"]]


def test_eval(small, capsys):
    main(["eval", *SMALL.split()])
    text = capsys.readouterr().out
    assert len(rows(text)) == 6
    assert float(text.split()[-1]) < 1e-3  # both programs give the same scores
