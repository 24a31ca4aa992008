"""Programs and tests that hang are ended, and say where they hung."""

import subprocess
import sys
import time

import pytest
from conftest import REPO, finish, processes_of, start

HANGS = """
import subprocess, sys, time
def wait_for_ever():
    time.sleep(1000)
if "child" not in sys.argv:  # with a child in a session of its own, as torchrun's are
    subprocess.Popen([sys.executable, __file__, "child"], start_new_session=True)
print("started", flush=True)
wait_for_ever()
"""
TEST = """
from conftest import start
def test_hangs():
    process = start(["{}"], ".")
    process.stdout.readline(), process.stdout.readline()
    process.wait()
"""


@pytest.fixture
def hanging(tmp_path):
    (tmp_path / "hangs.py").write_text(HANGS)
    return tmp_path / "hangs.py"


def test_a_program_that_hangs_is_ended_and_shows_the_stacks_of_all_its_processes(hanging):
    process = start([str(hanging)], hanging.parent)
    assert [process.stdout.readline() for _ in range(2)] == ["started\n"] * 2 and len(processes_of(process)) == 2
    began = time.monotonic()
    with pytest.raises(pytest.fail.Exception, match="did not end within 0.5 s") as failure:
        finish(process, 0.5)
    assert str(failure.value).count("in wait_for_ever") == 2, failure.value
    assert time.monotonic() - began < 10 and not processes_of(process)


def test_a_test_that_hangs_is_ended_and_shows_the_stacks_of_its_programs(hanging):
    (hanging.parent / "test_hangs.py").write_text(TEST.format(hanging))
    tests = [
        sys.executable,
        "-m",
        "pytest",
        "-n",
        "0",
        "-p",
        "conftest",
        "-c",
        REPO / "pyproject.toml",
        "--timeout",
        "3",
    ]
    done = subprocess.run(
        [*tests, "-p", "no:cacheprovider", f"--rootdir={hanging.parent}", hanging.parent / "test_hangs.py"],
        env={"PYTHONPATH": f"{REPO / 'tests'}:{REPO}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "1 failed, 1 error" in done.stdout and "Timeout (>3.0s)" in done.stdout, done.stdout + done.stderr
    assert "was still running" in done.stdout and done.stdout.count("in wait_for_ever") == 2, done.stdout
