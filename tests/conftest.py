"""What the tests share: a small demo set, and the scripts as a user starts them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Before torch is there: of two tests that each use all cores, one waits for the other at every layer.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPO = Path(__file__).parents[1]

# Small and quick, otherwise the demo's settings.
TINY = "--imgSize 64 --num_train 24 --batch_size_per_gpu 8 --num_epoch 2 --eval_epoch 2 --workers 1 --num_visual 3"


@pytest.fixture(scope="session")
def datasets(tmp_path_factory):
    """A data folder with a demo set of 24 training and 6 test scenes."""
    from dataset.demo import generate

    folder = tmp_path_factory.mktemp("data") / "Datasets"
    generate(folder / "Demo", num_train=24, num_test=6)
    return folder


@pytest.fixture
def workplace(tmp_path, datasets):
    """A folder to run in, with ./Datasets; its checkpoints (a gigabyte each) are removed afterwards."""
    (tmp_path / "Datasets").symlink_to(datasets)
    yield tmp_path
    for path in tmp_path.rglob("*.pth"):
        path.unlink()


def start(command, folder, processes=1, **environment):
    """Starts "main.py ..." or "test.py ..." of the repository in a folder, with torchrun where there are several."""
    script, *flags = command.split() if isinstance(command, str) else command
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    return subprocess.Popen(
        [sys.executable, *(torchrun if processes > 1 else []), REPO / script, *flags],
        cwd=folder,
        start_new_session=True,  # so that a test may signal all that it started
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPO), **environment},
    )


def run(command, folder, processes=1, **environment):
    """Runs it to its end and returns what it printed; fails with its messages if it failed."""
    process = start(command, folder, processes, **environment)
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, f"{command}\n{output}\n{errors}"
    return output


def fail(command, folder, **environment):
    """Runs what must fail, and returns its one sentence."""
    process = start(command, folder, **environment)
    output, errors = process.communicate(timeout=600)
    assert process.returncode != 0, f"{command}\n{output}"
    assert "Traceback" not in errors, errors
    return errors.strip().splitlines()[-1]
