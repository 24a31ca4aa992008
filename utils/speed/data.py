"""python -m utils.speed data: from HDF5 files to batches, by the published procedure and by the training loader."""

import platform
import tempfile
from argparse import Namespace
from pathlib import Path

import torch
from torch.utils.benchmark import set_torch_threads

from dataset.prepare.rows import FRAME_FORMATS
from utils.speed.published import PublishedData
from utils.speed.timing import FOLDER, build_loader, changed, print_table, repeated, take_rounds, timed, write_sets
from utils.speed.train import TrainingStep


def benchmark(args: Namespace, device: torch.device):
    """Prints the speed of one core, and with a GPU the time that a training step waits for data."""
    benchmark_loading(args)
    if device.type == "cuda":
        benchmark_waiting(args, device)
    else:
        print("no GPU: the time that a training step waits for data is not measured")


def benchmark_loading(args: Namespace, rows: int = 64, rounds: int = 5):
    """Prints samples/s of one core; a round reads a set of `rows` samples once in each way."""
    with tempfile.TemporaryDirectory() as folder, set_torch_threads(1):
        folders = write_sets(Path(folder), rows)
        args = changed(args, workers=0, batch_size_per_gpu=min(32, rows), augment="cpu")

        def load(frame_format, in_worker=False, **settings):
            loader = build_loader(changed(args, data_path=folders[frame_format], **settings), torch.device("cpu"))
            batches = repeated(loader.loader if in_worker else loader)
            return lambda: next(batches), rows // args.batch_size_per_gpu, args.batch_size_per_gpu

        published = PublishedData(folders["float32"] / FOLDER)
        cases = {"published procedure, float32 files": (lambda: [published[i] for i in range(rows)], 1, rows)}
        cases |= {f"training loader, {name} files": load(name) for name in FRAME_FORMATS}
        cases["training loader, kept in memory"] = load("uint8", cache="ram")
        cases["training loader, views left to the device"] = load("uint8", in_worker=True, augment="device")
        print_table(f"one core of {platform.machine()}", take_rounds(cases, rounds))


def benchmark_waiting(args: Namespace, device: torch.device, batch: int = 256, steps: int = 12):
    """Prints, for each way to store or keep the set, the time of a step and the share that it waits for its data."""
    print(f"{device}, {args.workers} workers, batch {batch}, {steps} steps: ms a step, share spent waiting for data")
    with tempfile.TemporaryDirectory() as folder:
        folders = write_sets(Path(folder), (steps + 2) * batch)  # one epoch: the loader starts anew to count each
        for frame_format, kept in [*((name, "none") for name in FRAME_FORMATS), ("uint8", "ram"), ("uint8", "device")]:
            settings = {"data_path": folders[frame_format], "cache": kept, "augment": "device"}
            step = TrainingStep(changed(args, batch_size_per_gpu=batch, **settings), device)
            step.with_data()  # not counted: kernels are chosen
            before = step.loader.waited
            # Each step is waited for: else the device's queue of work would hide the waiting for data.
            seconds = sum(timed(step.with_data) for _ in range(steps))
            place = f"{frame_format} files" if kept == "none" else f"kept: {kept}"
            print(f"{place:16} {1000 * seconds / steps:9.1f} {(step.loader.waited - before) / seconds:7.1%}")
