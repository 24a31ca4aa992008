"""Loader workers: forked by a process without threads, and gone when the main process is."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import REPO
from test_data import write_shard

PROGRAM = """
import json, sys, threading, time
from multiprocessing import forkserver
from pathlib import Path
import torch
from dataset.train_loader import TrainLoader
from dataset.train_set import TrainSet, open_arrays

for _ in range(3):
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
data = TrainSet(open_arrays(Path(sys.argv[1]), regions=None), size=32)
loader = TrainLoader(data, 2, 0, 2, torch.device("cpu"))
for epoch in range(2):  # the workers outlive an epoch
    loader.start(epoch)
    rows = [row for batch in loader for row in batch["index"].tolist()]
workers = [worker.pid for worker in loader.loader._iterator._workers]
server = forkserver._forkserver._forkserver_pid
print(json.dumps({"server": server, "workers": workers, "rows": sorted(rows)}), flush=True)
time.sleep(600)
"""


def status(pid):
    """/proc/<pid>/status as a dict; None of a process that has ended, even if nobody has asked for its exit code."""
    try:
        lines = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if lines["State"].startswith(("Z", "X")) else lines


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here: Linux tells of processes there")
def test_workers_come_from_a_process_without_threads_and_end_with_the_main_process(tmp_path):
    write_shard(tmp_path, "10k", 8)
    main = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, tmp_path], cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        line = main.stdout.readline()
        assert line, main.communicate()[1]
        found = json.loads(line)
        processes = [found["server"], *found["workers"]]
        assert found["rows"] == list(range(8)) and len(found["workers"]) == 2
        assert int(status(main.pid)["Threads"]) >= 4
        assert status(found["server"])["Threads"].strip() == "1"
        for pid in processes:  # a SIGTERM to all must leave them to the main process, which saves first
            assert int(status(pid)["SigBlk"], 16) >> (signal.SIGTERM - 1) & 1, status(pid)["SigBlk"]
        assert all(int(status(pid)["PPid"]) == found["server"] for pid in found["workers"])
    finally:
        main.kill()
        main.communicate()
    end = time.monotonic() + 20
    while left := [pid for pid in processes if status(pid)]:
        if time.monotonic() > end:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"{left} of {found} are still there 20 s after the main process was killed")
        time.sleep(0.1)
