"""A training set's arrays in memory: read once instead of in every epoch."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

BLOCK = 256  # rows read in one go
SHARE = 0.5  # of what is free, at most, where "auto" decides


class MemoryArray:
    """An array of rows in memory; what HDF5Array is for files.

    tensor: (n, *row). On the CPU it lies in shared memory: all workers of a process read one copy.
    """

    def __init__(self, tensor: torch.Tensor):
        self.tensor, self.row_shape = tensor, tuple(tensor.shape[1:])

    def __len__(self) -> int:
        return len(self.tensor)

    def take(self, indices: Sequence[int], dtype=None) -> torch.Tensor:
        """Rows in the order of `indices`, (n, *row), on the tensor's device; dtype is the tensor's."""
        return self.tensor[torch.as_tensor(indices).to(self.tensor.device, non_blocking=True)]


def choose_cache(name: str, size: int, device: torch.device) -> str:
    """Where a set of `size` bytes is kept: name, or what "auto" stands for: "device", "ram" or "none".

    On a CUDA device its memory is taken if half of what is free there suffices, else the machine's under the same
    condition, shared among the processes of this machine. Raises ValueError for "ram" where shared memory is too small.
    """
    processes, shared = int(os.environ.get("LOCAL_WORLD_SIZE", 1)), _free_shared_memory()
    if name == "ram" and size > shared / processes:
        raise ValueError(
            f"--cache ram needs {size / 1e9:.1f} GB for each of {processes} processes in /dev/shm, which has "
            f"{shared / 1e9:.1f} GB free: enlarge it (docker run --shm-size), or use --cache none"
        )
    if name != "auto":
        return name
    if device.type == "cuda" and size <= SHARE * torch.cuda.mem_get_info(device)[0]:
        return "device"
    return "ram" if size <= SHARE * min(free_memory(), shared) / processes else "none"


def _free_shared_memory():
    """Bytes free in /dev/shm; as many as anyone may want where the system has no such place."""
    return shutil.disk_usage("/dev/shm").free if Path("/dev/shm").is_dir() else float("inf")


def free_memory() -> int:
    """Bytes that this process may still take: what the machine has free, or its control group's limit if less is left.

    0 where the system does not say.
    """
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 0
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return free
    return free if limit == "max" else min(free, int(limit) - int(used))


def read_into_memory(rows, dtype, row_shape, device, length, label):
    """The first `length` rows as a MemoryArray on a device, under a progress bar.

    rows: an HDF5Array, which is read in blocks, in order; or an iterator of rows.
    """
    tensor = torch.empty((length, *row_shape), dtype=torch.from_numpy(np.empty(0, dtype)).dtype, device=device)
    if device.type == "cpu":
        tensor.share_memory_()  # before it is filled: what was never written takes no memory
    with tqdm(total=length, desc=f"into memory: {label}", unit=" rows", unit_scale=True) as bar:
        for start in range(0, length, BLOCK):
            block = range(start, min(start + BLOCK, length))
            found = rows.take(block, dtype) if hasattr(rows, "take") else np.stack([next(rows) for _ in block])
            tensor[start : block.stop] = torch.as_tensor(found)
            bar.update(len(block))
    return MemoryArray(tensor)
