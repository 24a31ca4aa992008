"""One process, or several started by torchrun: who am I, and what do the others hold?"""

import gc
import os
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

# How long the others wait for one that is busy: the main process may be storing the region maps of 144,000 frames. One
# that has ended is noticed at once.
PATIENCE = timedelta(hours=2)


@contextmanager
def processes(device_name):
    """Joins torchrun's process group where there is one, and leaves it at the end: yields this process's torch.device.

    device_name: "auto" (CUDA where it works, else CPU), "cpu" or "cuda".
    Raises ValueError if CUDA is asked for and torch does not see any.
    """
    cuda = torch.cuda.is_available()
    if device_name == "cuda" and not cuda:
        raise ValueError("--device cuda: torch sees no CUDA device; install a CUDA build of torch or use --device cpu")
    cuda = cuda and device_name != "cpu"
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    if "WORLD_SIZE" in os.environ:
        # gloo also beside NCCL: what is asked and told between steps must not wait for the device.
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
    try:
        yield device
    except RuntimeError as error:
        # One that fails takes its connections along: the others' next exchange ends here.
        if dist.is_initialized() and ("gloo" in str(error) or isinstance(error, dist.DistError)):
            raise ConnectionError(f"process {rank()} lost another one: see that one's message") from None
        raise
    if dist.is_initialized():
        # DistributedDataParallel must go first: as the group's last owner it would hold the interpreter's lock while it
        # waits for gloo's thread, which may be waiting for that lock to drop the tensors of the last gather.
        gc.collect()
        dist.destroy_process_group()


def rank():
    return dist.get_rank() if dist.is_initialized() else 0


def world_size():
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main():
    """True in the one process that writes."""
    return rank() == 0


def report(text):
    """Says what this process is doing, for the others that wait for it."""


def barrier():
    """Waits until every process is here."""
    maximum(0)


def gather_lists(items):
    """The list of every process, joined in the order of ranks. Any picklable items; the same result everywhere."""
    if not dist.is_initialized():
        return items
    lists = [None] * world_size()
    dist.all_gather_object(lists, items)
    return [item for part in lists for item in part]


def maximum(number):
    """The largest of all processes' integers. Goes from CPU to CPU, and does not wait for the device."""
    if not dist.is_initialized():
        return number
    largest = torch.tensor(number)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return int(largest)


def mean(tensor):
    """The mean of all processes' tensors of one shape."""
    if not dist.is_initialized():
        return tensor
    total = tensor.clone()
    dist.all_reduce(total)
    return total / world_size()


def share_buffers(model):
    """Gives every process the main one's buffers: batch norm's running statistics, where each kept its own."""
    if dist.is_initialized():
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)
