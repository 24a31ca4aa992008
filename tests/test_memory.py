"""Freed memory that the process keeps."""

import platform
import resource
import subprocess
import sys

import pytest
from conftest import REPO

PROBE = """
import resource, sys, torch
from utils.memory import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
torch.set_num_threads(1)
for i in range(40):  # the first of them make the process grow
    if i == 20:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_the_next_tensor_gets_the_pages_of_the_one_before():
    """Tensors of 64 MiB, each freed before the next: how many pages the kernel had to give for twenty."""
    faults = {
        how: int(
            subprocess.run(
                [sys.executable, "-c", PROBE, how], cwd=REPO, check=True, capture_output=True, timeout=120
            ).stdout
        )
        for how in ("kept", "default")
    }
    pages = 2**26 // resource.getpagesize()
    assert faults["kept"] < 2 * pages and faults["default"] > 18 * pages, faults
