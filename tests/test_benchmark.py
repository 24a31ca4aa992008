"""utils.benchmark prints its tables; how fast anything is, it measures, and no test judges."""

import sys

import cv2
import numpy as np
import torch
from scipy.io import wavfile

from utils.benchmark import data, evaluation, timing
from utils.benchmark.__main__ import main


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


def test_eval(monkeypatch, capsys):
    monkeypatch.setattr(evaluation, "BATCH", 16)
    monkeypatch.setattr(timing, "ROUNDS", 1)
    evaluation.benchmark_eval(maps=20, size=32)
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith(("this evaluator", "map by map with"))]) == 4
    assert float(lines[-1].split()[-1]) < 1e-3  # both procedures give the same scores
