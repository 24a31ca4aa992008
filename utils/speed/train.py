"""python -m utils.speed train: samples/s of a training step and of its parts, and of the published step."""

import tempfile
from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from models import build_objective
from utils.speed.published import PUBLISHED_STEPS
from utils.speed.timing import FOLDER, build_loader, changed, print_table, repeated, take_rounds, timed, write_sets
from utils.training.accumulate import leaves
from utils.training.build import build_networks, build_optimizer
from utils.training.memory import keep_freed_memory
from utils.training.non_finite import NonFiniteGuard
from utils.training.precision import choose_autocast


class TrainingStep:
    """Steps of main.py, from random weights, on batches of its loader; args.data_path is one of write_sets."""

    def __init__(self, args: Namespace, device: torch.device):
        keep_freed_memory()
        self.model, self.trained = build_networks(args, device)
        self.objective, self.autocast = build_objective(args), choose_autocast(args.precision, device)
        self.optimizer = build_optimizer(self.model, args)
        self.guard = NonFiniteGuard(self.optimizer, self.model, keep_buffers=False)
        self.loader = build_loader(args, device, self.model)
        self.batches = repeated(self.loader)
        self.held = next(self.batches)

    def encoders(self):
        """A step whose loss is the mean of the networks' outputs."""
        self.step(self.held, lambda outputs, batch: (sum(output.mean() for output in leaves(outputs)), {}))

    def without_data(self):
        """A step on a batch that is on the device already."""
        self.step(self.held, self.objective)

    def with_data(self):
        """A step on the loader's next batch, as in main.py."""
        self.step(next(self.batches), self.objective)

    def step(self, batch, objective):
        self.guard.before_step()
        self.optimizer.zero_grad()
        with self.autocast:
            outputs = self.trained(batch["views"], batch["audio"])
        loss, _ = objective(outputs, batch)
        loss.backward()
        self.optimizer.step()


def benchmark(args: Namespace, device: torch.device, batch: list[int], rounds: int = 3, warm_up: int = 1):
    """Prints for each batch size the speed of the published step, where there is one of the method, and of main.py's,
    in float32 and bfloat16, and with args.compile compiled; the work of a sample, and the use of the hardware."""
    for size in batch:
        with tempfile.TemporaryDirectory() as folder:
            folders, seconds, cases = write_sets(Path(folder), 2 * size, ("uint8", "float32")), {}, {}
            if args.method in PUBLISHED_STEPS:  # timed before the others, whose keep_freed_memory would make it faster
                step = PUBLISHED_STEPS[args.method](folders["float32"] / FOLDER, size, device)
                cases["published step and its data"] = (step.with_data, 1, size)
                cases["published step"] = (step.without_data, 1, size)
                seconds, cases = take_rounds(cases, rounds, warm_up), {}
            for precision, compiled in [("float32", False), ("bfloat16", False), ("auto", True)][: 2 + args.compile]:
                settings = {"precision": precision, "compile": compiled, "batch_size_per_gpu": size}
                step = TrainingStep(changed(args, data_path=folders["uint8"], **settings), device)
                name = f"{precision}, compiled" if compiled else precision
                cases[f"{name}: encoders and optimizer"] = (step.encoders, 1, size)
                cases[f"{name}: and the loss"] = (step.without_data, 1, size)
                cases[f"{name}: and the data"] = (step.with_data, 1, size)
            seconds |= take_rounds(cases, rounds, warm_up)
            with FlopCounterMode(display=False) as counter:
                step.without_data()
        where = f"{device}, {torch.get_num_threads()} threads"
        print_table(f"{args.method}, batch {size}, {args.imgSize} px, {where}", seconds)
        work = counter.get_total_flops() / size
        print(f"{work / 1e9:.1f} GFLOP a sample (products of matrices, convolutions)")
        for precision in ("float32", "bfloat16"):
            peak = product_speed(getattr(torch, precision), device)
            share = work / np.median(seconds[f"{precision}: and the data"]) / peak
            print(
                f"{precision}: products of large matrices reach {peak / 1e12:.2f} TFLOP/s, the step {share:.0%} of it"
            )


def product_speed(dtype: torch.dtype, device: torch.device) -> float:
    """FLOP a second of the product of two square matrices, the fastest of six."""
    side = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / min(timed(lambda: a @ b) for _ in range(6))
