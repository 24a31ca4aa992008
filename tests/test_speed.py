"""utils.speed prints its tables; how fast anything is, it measures, and no test judges."""

import sys

import cv2
import numpy as np
import pytest
import torch
from scipy.io import wavfile
from test_losses import random_inputs

from models.losses import SACLLoss
from utils.speed import data, evaluation, scale, timing, train
from utils.speed.__main__ import main
from utils.speed.published import looped_loss


def test_data(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(data, "ROWS", 2)
    monkeypatch.setattr(timing, "ROUNDS", 1)
    monkeypatch.setattr(sys, "argv", ["benchmark", "data", "--clips", str(tmp_path)])
    cv2.imwrite(str(tmp_path / "a.png"), np.eye(64, dtype=np.uint8) * 255)
    wavfile.write(tmp_path / "a.wav", 16000, np.random.default_rng(0).normal(0, 0.1, 48000).astype(np.float32))
    threads = torch.get_num_threads()
    main()
    assert torch.get_num_threads() == threads
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("published procedure")][0].split()[-1] == "1.0"
    assert len([line for line in lines if line.startswith("this loader")]) == 5
    data.benchmark_waiting(torch.device("cpu"), batch=4, steps=1, size=32)
    assert len([line for line in capsys.readouterr().out.splitlines() if line.endswith("%")]) == 5
    assert any("maps/s" in line for line in lines) and any("clips/s" in line for line in lines)


def test_train(monkeypatch, capsys):
    monkeypatch.setattr(data, "ROWS", 2)
    monkeypatch.setattr(train, "WARM_UP", 0)
    train.benchmark_train(torch.device("cpu"), [2], size=32, rounds=1)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("published procedure")][0].split()[-1] == "1.00"
    assert len([line for line in lines if line.startswith(("encoders", "+ loss", "+ data"))]) == 6


def test_the_published_step_has_our_loss():
    """Else its speed would be compared with that of something else."""
    vision, audio, sound, regions = random_inputs(3, batch=6)
    looped = looped_loss(vision, audio, sound, regions, 0.07, 0.5, 0.75)
    assert looped.item() == pytest.approx(SACLLoss(0.07)(vision, audio, sound, regions).item(), rel=1e-5)


def test_scale(monkeypatch, capsys):
    monkeypatch.setattr(data, "ROWS", 2)
    scale.benchmark_scale(torch.device("cpu"), [2], [32], [8], [2], steps=1)
    text = capsys.readouterr().out
    assert "measured above" in text and "2 M" in text
    scale.print_plan(100.0, measured=False)  # 144k x 100 epochs at 100 samples/s: 40 h
    assert [line for line in capsys.readouterr().out.splitlines() if "144k" in line][0].split()[2:] == [
        "40.0", "5.0", "0.6"
    ]  # fmt: skip


def test_eval(monkeypatch, capsys):
    monkeypatch.setattr(evaluation, "BATCH", 16)
    monkeypatch.setattr(timing, "ROUNDS", 1)
    evaluation.benchmark_eval(maps=20, size=32)
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith(("this evaluator", "map by map with"))]) == 4
    assert float(lines[-1].split()[-1]) < 1e-3  # both procedures give the same scores
