"""python -m utils.speed scale: how a step grows with batch, resolution and processes; the loss's memory; and a plan
on paper: hours and storage of large sets."""

import os
import re
import resource
import sys
import tempfile
import time
from pathlib import Path
from socket import socket
from statistics import median

import torch
import torch.multiprocessing as mp
from models.losses import SACLLoss

from utils import distributed
from utils.speed.data import read_clock, write_sets
from utils.speed.train import TrainingStep

EPOCHS, SETS, DEVICES = 100, {"10k": 10_000, "144k": 144_000, "200k": 200_000, "2 M": 2_000_000}, (1, 8, 64)
# uint8 frame, float32 patches, compressed regions (mean of 14 real clips), and the sound, which training does not read
ROW_BYTES = 196_608 + 73_728 + 2_292 + 192_000


def benchmark_scale(device, batches, sizes, loss_batches, processes, samples_per_second=None, steps=3):
    """Prints the tables. samples_per_second: of one device, for the plan; None: what was measured here."""
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        data = write_sets(Path(folder), rows=2 * max(batches))["uint8"]
        print(f"step with loss, data held, {device}: medians of {steps} steps")
        print(f"{'batch':>6} {'pixels':>7} {'s a step':>9} {'samples/s':>10} {'memory, GiB':>12}")
        for batch, size in [
            *((batch, sizes[-1]) for batch in batches),
            *((max(batches), size) for size in sizes[:-1]),
        ]:
            seconds, gib = in_processes(1, step_time, data, batch, size, str(device), steps)
            rates[batch, size] = batch / seconds
            print(f"{batch:6} {size:7} {seconds:9.3f} {batch / seconds:10.2f} {gib:12.2f}")
        print(f"processes on this machine, batch {min(batches)} each, {sizes[-1]} px")
        for count in processes:
            seconds, gib = in_processes(count, step_time, data, min(batches), sizes[-1], str(device), steps)
            rate = count * min(batches) / seconds
            print(f"{count:6} {'':7} {seconds:9.3f} {rate:10.2f} {gib:12.2f}")
    channels, side = (512, 14) if device.type == "cuda" else (32, 4)  # a CPU would take hours
    print(f"the loss alone, forward and backward, maps of {side} x {side}, {channels} channels: s, and GiB it added")
    for batch in loss_batches:
        seconds, gib = in_processes(1, loss_cost, batch, channels, side, str(device))
        at_once = 2 * batch**2 * side**2 * 4 / 2**30
        print(f"{batch:6} {seconds:9.2f} {gib:7.2f}   (all pairs at once: {at_once:.2f})")
    measured = samples_per_second is None
    print_plan(max(rates[batch, sizes[-1]] for batch in batches) if measured else samples_per_second, measured)


def print_plan(rate, measured):
    """Hours and gigabytes from samples/s of one device."""
    source = f"measured above with the largest views: {rate:.1f}" if measured else f"given: {rate:.1f}"
    print(f"{EPOCHS} epochs; samples/s of one device {source}; several: extrapolated, none waiting for another")
    print(f"{'set':>6} {'GB':>8}" + "".join(f"{f'{n} devices, h':>15}" for n in DEVICES))
    for name, clips in SETS.items():
        hours = [EPOCHS * clips / rate / n / 3600 for n in DEVICES]
        print(f"{name:>6} {clips * ROW_BYTES / 1e9:8.1f}" + "".join(f"{value:15,.1f}" for value in hours))


def in_processes(count, function, *arguments):
    """function(*arguments) in `count` fresh processes that form a group; what the first returned."""
    with tempfile.TemporaryDirectory() as folder, socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
        free.close()
        mp.spawn(_run, (count, port, folder, function, arguments), count)
        return torch.load(Path(folder) / "result.pt")


def _run(rank, count, port, folder, function, arguments):
    if count > 1:
        os.environ.update(MASTER_ADDR="localhost", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(count))
        os.environ["LOCAL_RANK"] = str(rank)
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))
    with distributed.processes("auto" if torch.cuda.is_available() else "cpu", minutes=10):
        result = function(*arguments)
        if rank == 0:
            torch.save(result, Path(folder) / "result.pt")


def step_time(folder, batch, size, device, steps):
    """Median seconds of a step with its loss, and the process's peak memory in GiB."""
    forget_peak()
    step = TrainingStep("sacl", folder, batch, size, torch.device(device), "auto", workers=0)
    seconds = []
    for _ in range(steps + 1):
        started = time.perf_counter()
        step.whole(0)
        seconds.append(time.perf_counter() - started)
    return median(seconds[1:]), peak_memory(step.device)


def loss_cost(batch, channels, side, device):
    """Seconds and GiB that the loss takes beside its inputs."""
    g, device = torch.Generator().manual_seed(0), torch.device(device)
    vision = [torch.randn(batch, channels, side, side, generator=g).to(device).requires_grad_() for _ in range(2)]
    audio, sound = (torch.randn(batch, n, generator=g).to(device).requires_grad_() for n in (channels, 128))
    regions = [torch.randint(0, 4, (batch, 1, side, side), generator=g).to(device) for _ in range(2)]
    forget_peak()
    before, started = peak_memory(device), time.perf_counter()
    SACLLoss()(vision, audio, sound, regions).backward()
    read_clock(device)
    return time.perf_counter() - started, peak_memory(device) - before


def forget_peak():
    """On Linux: a process that was forked begins with its parent's peak."""
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device):
    """The most that was allocated on the device, or resident in this process, in GiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage: bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
