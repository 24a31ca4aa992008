"""Every command of the README, run: shortened by flags at its end, on small data."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import REPO, TINY, run
from scipy.io import wavfile
from test_videos import write_clip

from models.resnet import FrameNet
from models.vggish import SoundNet

README = (REPO / "README.md").read_text()
PYTHON = Path(sys.executable)


def commands():
    """The lines of the README's code blocks that start a program, and those of its text between backquotes."""
    blocks = re.findall(r"^```\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`((?:python|torchrun)[^`]*)`", README)
    return {part for line in lines for part in line.split(" && ") if re.match(r"python |pip |torchrun |srun ", part)}


@pytest.fixture
def custom(workplace):
    """my/pairs.json with eight pairs to train on and two to test on, and my/clips."""
    folder = workplace / "my"
    folder.mkdir()
    items = []
    for i in range(10):
        cv2.imwrite(str(folder / f"{i}.png"), np.full((60, 80, 3), 20 * i, np.uint8))
        wavfile.write(folder / f"{i}.wav", 16000, np.random.default_rng(i).integers(-999, 999, 20000, np.int16))
        boxes = {"split": "test", "boxes": [[0, 0, 0.5, 0.5]]} if i >= 8 else {"split": "train"}
        items.append({"id": f"item{i}", "image": f"{i}.png", "audio": f"{i}.wav", **boxes})
    (folder / "pairs.json").write_text(json.dumps(items))
    (folder / "clips").mkdir()
    cv2.imwrite(str(folder / "clips" / "a.png"), np.eye(64, dtype=np.uint8) * 255)
    shutil.copy(folder / "0.wav", folder / "clips" / "a.wav")
    shutil.copy(folder / "0.png", folder / "photo.jpg")
    shutil.copy(folder / "0.wav", folder / "sound.wav")
    write_clip(folder / "video.mp4", seconds=1.0)


def test_every_command_is_known_here():
    assert commands() == {
        "pip install -r requirements.txt",  # whoever reads this has done it
        "pip install -r requirements.txt -r tests/requirements.txt",
        "python -m pytest",  # this
        "python main.py",  # tests/test_scripts.py, the story
        "python test.py",  # likewise
        "python -m metadata.download",  # tests/test_metadata.py, from a folder: there need be no network
        "python -m utils.speed data --clips CLIPS",  # tests/test_speed.py
        "python -m utils.speed eval",  # likewise
        "python -m utils.speed train",  # likewise
        "python -m utils.speed scale",  # likewise
        SLURM,  # the line above it in the README, started by srun
        *COMMANDS,
    }


NODES = "--nnodes=2 --nproc_per_node=8 --rdzv_backend=c10d --rdzv_endpoint=HOST:29500"
SLURM = f"srun --nodes=2 --ntasks-per-node=1 torchrun {NODES} main.py --trainset flickr144k"
HERE = {  # what stands for something else in the README
    "=4": "=2",
    "=8": "=2",
    "--nnodes=2": "--nnodes=1",
    "HOST:29500": "localhost:0",
    "A/results.json": "runs/flickr/results.json",
    "B/results.json": "runs/flickr/results.json",
}

COMMANDS = {
    "python -m dataset.prepare videos --input my/clips --out Datasets --trainset vggsound10k": "--workers 0",
    "python -m dataset.prepare verify Datasets": "",
    "python -m dataset.prepare sheet Datasets --trainset vggsound10k --out sheet.png": "",
    "python -m dataset.prepare pairs --manifest my/pairs.json --out Datasets": "--workers 1",
    "python main.py --trainset custom --train_from_scratch 1": f"{TINY} --num_epoch 1 --ckpt runs/custom",
    "python main.py --trainset flickr10k": f"{TINY} --num_epoch 1 --data_path Datasets/Demo --train_from_scratch 1",
    "torchrun --nproc_per_node=4 main.py --trainset flickr10k": (
        f"{TINY} --batch_size_per_gpu 3 --num_epoch 1 --data_path Datasets/Demo --train_from_scratch 1 --ckpt runs/four"
    ),
    "python main.py --method sspl --trainset flickr10k": (
        f"{TINY} --num_epoch 1 --data_path Datasets/Demo --train_from_scratch 1 --ckpt runs/sspl"
    ),
    f"torchrun {NODES} main.py --trainset flickr144k": (
        f"{TINY} --batch_size_per_gpu 3 --num_epoch 1 --data_path Datasets/Demo --train_from_scratch 1"
        " --trainset flickr10k --ckpt runs/nodes"
    ),
    "python test.py --testset flickr --weights_frame models/pretrain/frame_best.pth "
    "--weights_sound models/pretrain/sound_best.pth --ckpt runs/flickr": "--data_path Datasets/Demo --imgSize 64",
    "python test.py --clip my/video.mp4 my/photo.jpg my/sound.wav": "--imgSize 64 --ckpt runs/clips",
    "python test.py model-free": "--testset demo",
    "python test.py compare A/results.json B/results.json": "",
}


@pytest.mark.timeout(1500)  # a dozen programs
def test_commands_run_in_the_order_of_the_readme(workplace, custom, datasets):
    (workplace / "Datasets").unlink()
    shutil.copytree(datasets, workplace / "Datasets")
    pretrained = workplace / "models" / "pretrain"
    pretrained.mkdir(parents=True)
    torch.save(FrameNet().state_dict(), pretrained / "frame_best.pth")
    torch.save(SoundNet().state_dict(), pretrained / "sound_best.pth")
    for command, short in COMMANDS.items():
        program, *rest = command.split()
        for there, here in HERE.items():
            rest = [flag.replace(there, here) for flag in rest]
        if program == "python" and rest[0] != "-m":
            run([*rest, *short.split()], workplace)
            continue
        if program == "torchrun":
            rest = [str(REPO / flag) if flag == "main.py" else flag for flag in rest]
            rest = ["-m", "torch.distributed.run", *rest]
        done = subprocess.run(
            [PYTHON, *rest, *short.split()],
            cwd=workplace,
            env={**os.environ, "PYTHONPATH": str(REPO)},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    scores = json.loads((workplace / "runs" / "custom" / "summary.json").read_text())
    assert scores["last"]["test"]["n"] == 2
    assert (workplace / "sheet.png").stat().st_size > 1000
    four = (workplace / "runs" / "four" / "log.jsonl").read_text().splitlines()
    assert len(four) == 2 and json.loads(four[1])["test"]["n"] == 6
    assert json.loads((workplace / "runs" / "flickr" / "results.json").read_text())["n"] == 6
