"""The README's commands, run on small data with flags that shorten them; the other pages' commands and flags, read."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from argparse import SUPPRESS

import cv2
import numpy as np
import pytest
import torch
from conftest import REPO, TINY, run
from scipy.io import wavfile
from test_videos import write_clip

import arguments_test
import arguments_train
from models import METHODS
from models.resnet import FrameNet
from models.vggish import SoundNet

README = (REPO / "README.md").read_text()
PAGES = {path.name: path.read_text() for path in (REPO / "docs").glob("*.md")}
LINES = 220  # of the README, at most
SECONDS = 280  # for a command


def commands(page):
    """The lines of a page's code blocks that start a program, and those of its text between backquotes."""
    blocks = re.findall(r"^```\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`((?:python|pip|torchrun|srun) [^`]*)`", page)
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
    assert commands(README) == {
        "pip install -r requirements.txt",  # whoever reads this has done it
        "pip install -r requirements.txt -r tests/requirements.txt",
        "python -m pytest",  # this
        "python main.py",  # tests/test_scripts.py, the story
        "python test.py",  # the same tests
        "python -m metadata.download",  # tests/test_metadata.py, from a folder: there need be no network
        GOLDEN,  # tests of this suite
        SLURM,  # the line above it in the README, started by srun
        *COMMANDS,
    }
    assert all((REPO / path).is_file() for path in GOLDEN.split()[3:])
    assert len(README.splitlines()) <= LINES


def known_flags():
    """The flags of every program, main.py's and test.py's with each method."""
    builders = (arguments_train.build_parser, arguments_test.build_parser)
    actions = [action for build in builders for method in METHODS for action in build(method)._actions]
    flags = {flag for action in actions if action.help != SUPPRESS for flag in action.option_strings}
    others = [
        path for folder in ("dataset/prepare", "metadata", "utils/speed") for path in (REPO / folder).glob("*.py")
    ]
    return flags.union(*(re.findall(r'add_argument\("(--\w+)"', path.read_text()) for path in others))


@pytest.mark.parametrize("name", ["README.md", *PAGES])
def test_flags_exist(name):
    others = {"--nproc_per_node", "--nnodes", "--rdzv_backend", "--rdzv_endpoint", "--nodes", "--ntasks", "--check"}
    assert not set(re.findall(r"(?<![\w-])--\w+", {"README.md": README, **PAGES}[name])) - known_flags() - others


@pytest.mark.parametrize("name", PAGES)
def test_commands_of_the_other_pages_are_understood(name, tmp_path, monkeypatch):
    """Only main.py's and test.py's: their flags depend on each other."""
    monkeypatch.chdir(tmp_path)
    for command in commands(PAGES[name]):
        for script, parse_args in (("main.py", arguments_train.parse_args), ("test.py", arguments_test.parse_args)):
            words = shlex.split(command)
            if script in words:
                parse_args(words[words.index(script) + 1 :])


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", *(f"docs/{name}" for name in PAGES)])
def test_links_lead_somewhere(name):
    page = REPO / name
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if "://" in link:
            continue
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert heading in [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles], link


NODES = "--nnodes=2 --nproc_per_node=8 --rdzv_backend=c10d --rdzv_endpoint=HOST:29500"
GOLDEN = "python -m pytest " + " ".join(
    f"tests/test_{name}.py" for name in ("losses", "sspl", "ezvsl", "data", "evaluation", "rules")
)
SLURM = f"srun --nodes=2 --ntasks-per-node=1 torchrun {NODES} main.py --trainset flickr144k"
HERE = {  # what stands for something else in the README
    "=4": "=2",
    "=8": "=2",
    "--nnodes=2": "--nnodes=1",
    "HOST:29500": "localhost:0",
    "A/results.json": "runs/flickr/results.json",
    "B/results.json": "runs/flickr/results.json",
    "NAME": "ezvsl",
}

COMMANDS = {
    "python test.py --clip my/video.mp4 my/photo.jpg my/sound.wav": "--imgSize 64 --ckpt runs/clips",
    "python test.py baselines": "--testset demo",
    "python main.py --trainset flickr10k": f"{TINY} --num_epoch 1 --data_path Datasets/Demo --train_from_scratch 1",
    "python main.py --method sspl --trainset flickr10k": (
        f"{TINY} --num_epoch 1 --data_path Datasets/Demo --train_from_scratch 1 --ckpt runs/sspl"
    ),
    "python main.py --method NAME --help": "",
    "torchrun --nproc_per_node=4 main.py --trainset flickr10k": (
        f"{TINY} --batch_size_per_gpu 3 --num_epoch 1 --data_path Datasets/Demo --train_from_scratch 1 --ckpt runs/four"
    ),
    f"torchrun {NODES} main.py --trainset flickr144k": (
        f"{TINY} --batch_size_per_gpu 3 --num_epoch 1 --data_path Datasets/Demo --train_from_scratch 1"
        " --trainset flickr10k --ckpt runs/nodes"
    ),
    "python -m dataset.prepare videos --input my/clips --out Datasets --trainset vggsound10k": "--workers 0",
    "python -m dataset.prepare verify Datasets": "",
    "python -m dataset.prepare sheet Datasets --trainset vggsound10k --out sheet.png": "",
    "python -m dataset.prepare pairs --manifest my/pairs.json --out Datasets": "--workers 1",
    "python main.py --trainset custom --train_from_scratch 1": f"{TINY} --num_epoch 1 --ckpt runs/custom",
    "python test.py --testset flickr --weights_frame models/pretrain/frame_best.pth "
    "--weights_sound models/pretrain/sound_best.pth --ckpt runs/flickr": "--data_path Datasets/Demo --imgSize 64",
    "python test.py compare A/results.json B/results.json": "",
}


def execute(command, folder):
    """Runs a command of Python; fails with its messages if it fails, or does not end in time."""
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen([sys.executable, *command], cwd=folder, env=environment, **streams)
    try:
        output, _ = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.terminate()  # torchrun ends its processes then
        output, _ = process.communicate(timeout=60)
        pytest.fail(f"{command} did not end within {SECONDS} s\n{output}", pytrace=False)
    assert process.returncode == 0, f"{command}\n{output}"


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
        execute([*rest, *short.split()], workplace)
    scores = json.loads((workplace / "runs" / "custom" / "summary.json").read_text())
    assert scores["last"]["test"]["n"] == 2
    assert (workplace / "sheet.png").stat().st_size > 1000
    four = (workplace / "runs" / "four" / "log.jsonl").read_text().splitlines()
    assert len(four) == 2 and json.loads(four[1])["test"]["n"] == 6
    assert json.loads((workplace / "runs" / "flickr" / "results.json").read_text())["n"] == 6
