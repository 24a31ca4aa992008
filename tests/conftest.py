"""What the tests share: a small demo set, and the scripts as a user starts them."""

import os
import resource
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path

import pytest

# Before torch is there: of two tests that each use all cores, one waits for the other at every layer.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A process that gets SIGABRT prints the stacks of its threads to stderr, and leaves no core file.
os.environ["PYTHONFAULTHANDLER"] = "1"
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

# Their asserts show values, as those of a test do.
pytest.register_assert_rewrite("seeded", "batch_in_parts")

REPO = Path(__file__).parents[1]

# What start() has started in the present test.
PROGRAMS = []

# Small and quick, otherwise the demo's settings.
TINY = "--imgSize 64 --num_train 24 --batch_size_per_gpu 8 --num_epoch 2 --eval_epoch 2 --workers 0 --num_visual 3"


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


@pytest.fixture
def metadata(tmp_path, monkeypatch):
    """An empty folder in the place of metadata/."""
    from dataset import benchmarks

    folder = tmp_path / "metadata"
    folder.mkdir()
    monkeypatch.setattr(benchmarks, "METADATA", folder)
    return folder


@pytest.fixture(autouse=True)
def no_program_is_left():
    """Ends what start() has started and a test left running, and shows its stacks; also after the test's time-out."""
    yield
    left = [process for process in PROGRAMS if process.poll() is None]
    output = [f"{process.args} was still running\n{abort(process)}" for process in left]
    for process in PROGRAMS:
        signal_all(process, signal.SIGKILL)  # what it may have left behind
    PROGRAMS.clear()
    if output:
        pytest.fail("\n".join(output), pytrace=False)


def start(command, folder, processes=1, **environment):
    """Starts "main.py ..." or "test.py ..." of the repository in a folder, with torchrun where there are several."""
    script, *flags = command.split() if isinstance(command, str) else command
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        [sys.executable, *(torchrun if processes > 1 else []), REPO / script, *flags],
        cwd=folder,
        start_new_session=True,  # a Ctrl-C in the terminal is pytest's, which ends it (no_program_is_left)
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPO), "STARTED_BY_TEST": mark, **environment},
    )
    process.mark = f"STARTED_BY_TEST={mark}".encode()
    PROGRAMS.append(process)
    return process


def processes_of(process):
    """The pids of a program of start() and of all that it started and that still run, torchrun's and orphans too."""
    pids = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # another user's, or it has just ended
            if process.mark in environment.read_bytes().split(b"\0"):
                pids.append(int(environment.parent.name))
    return pids


def signal_all(process, number):
    """A signal to a program and all that it started, as a cluster does it."""
    for pid in processes_of(process):
        with suppress(ProcessLookupError):  # its parent, signalled before, has ended it
            os.kill(pid, number)


def abort(process):
    """Ends a program and all that it started; what it had printed, with the stacks of all threads of all processes."""
    signal_all(process, signal.SIGSTOP)  # so that none reacts to the end of another
    for pid in sorted(processes_of(process)):  # one after the other: their stacks go to the same pipe
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGABRT)
            os.kill(pid, signal.SIGCONT)
        end = time.monotonic() + 1
        while pid in processes_of(process) and time.monotonic() < end:
            time.sleep(0.02)
    signal_all(process, signal.SIGKILL)
    return "\n".join(process.communicate(timeout=10))


def finish(process, seconds=280):
    """What a program has printed and its messages, once it has ended; fails with its stacks if it has not by then."""
    try:
        return process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        pytest.fail(f"{process.args} did not end within {seconds} s\n{abort(process)}", pytrace=False)


def run(command, folder, processes=1, **environment):
    """Runs it to its end and returns what it printed; fails with its messages if it failed."""
    process = start(command, folder, processes, **environment)
    output, errors = finish(process)
    assert process.returncode == 0, f"{command}\n{output}\n{errors}"
    return output


def fail(command, folder, **environment):
    """Runs what must fail, and returns its one sentence."""
    process = start(command, folder, **environment)
    output, errors = finish(process)
    assert process.returncode != 0, f"{command}\n{output}"
    assert "Traceback" not in errors, errors
    return errors.strip().splitlines()[-1]
