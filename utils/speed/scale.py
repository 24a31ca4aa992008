"""python -m utils.speed scale: how speed and memory of a training step grow with batch, resolution and processes."""

import resource
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from statistics import median

import torch
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from utils import distributed
from utils.speed.timing import changed, timed, write_sets
from utils.speed.train import TrainingStep

LOCAL = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0", "local_addr": "localhost"}  # of torchrun


def benchmark(args: Namespace, device: torch.device, batch: list[int], size: list[int], processes: list[int], steps=3):
    """Prints a table: each batch at the largest of the rising sizes, the largest batch at the smaller sizes, and the
    smallest batch in each of several processes on this machine."""
    cases = [(1, samples, size[-1]) for samples in batch] + [(1, max(batch), pixels) for pixels in size[:-1]]
    cases += [(count, min(batch), size[-1]) for count in processes]
    print(f"{args.method}, {device}: a step with the loss on a batch that is held, medians of {steps}")
    print(f"{'processes':>9} {'batch of each':>14} {'pixels':>7} {'s a step':>9} {'samples/s':>10} {'memory, GiB':>12}")
    with tempfile.TemporaryDirectory() as folder:
        folders = write_sets(Path(folder), max(count * samples for count, samples, _ in cases), ("uint8",))
        for count, samples, pixels in cases:
            settings = {"batch_size_per_gpu": samples, "imgSize": pixels, "workers": 0}
            config = LaunchConfig(1, 1, count, run_id="scale", max_restarts=0, **LOCAL)
            # Fresh processes: the peak memory is the case's own.
            run = elastic_launch(config, step_cost)
            seconds, gib = run(changed(args, data_path=folders["uint8"], **settings), device.type, steps)[0]
            rate = count * samples / seconds
            print(f"{count:9} {samples:14} {pixels:7} {seconds:9.3f} {rate:10.2f} {gib:12.2f}", flush=True)


def step_cost(args: Namespace, device_type: str, steps: int) -> tuple[float, float]:
    """Median seconds of a step; peak memory in GiB, on a GPU of the tensors there, else of this process."""
    with distributed.processes(device_type, minutes=10) as device:
        torch.set_num_threads(max(1, torch.get_num_threads() // distributed.world_size()))
        step = TrainingStep(args, device)
        seconds = [timed(step.without_data) for _ in range(steps + 1)]
        del step  # DistributedDataParallel goes before its process group
    if device_type == "cuda":
        return median(seconds[1:]), torch.cuda.max_memory_allocated() / 2**30
    unit = 1 if sys.platform == "darwin" else 1024  # of getrusage: bytes there, kilobytes elsewhere
    return median(seconds[1:]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
