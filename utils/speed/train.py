"""python -m utils.speed train: samples/s of a training step and of its parts, and of the published procedure's."""

import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import torch

from arguments_train import parse_args
from dataset.train_loader import TrainLoader
from dataset.train_set import TrainSet
from models import build_objective
from models.resnet import FrameNet
from models.sacl import SACL
from models.vggish import SoundNet
from utils.speed.data import cycle_over, read_clock, write_sets
from utils.speed.flops import count_flops, describe_sspl_costs
from utils.speed.published import PublishedProcedure, published_step
from utils.speed.timing import take_rounds, timed
from utils.training.accumulate import leaves
from utils.training.build import build_networks, build_optimizer
from utils.training.health import Guard
from utils.training.memory import keep_freed_memory
from utils.training.precision import choose_autocast

WARM_UP = 1  # rounds that do not count: the workers start, the kernels are chosen


def benchmark_train(device, batches, size=224, compile_too=False, method="sacl", rounds=3):
    """Prints a table for each batch size: the published step, and ours by what it holds and how it computes.

    batches: sizes; size: side of the views; compile_too: as well with torch.compile; rounds: each times every case
    once. method: of SSPL the published step is not timed, but what its parts cost is counted.
    """
    if method != "sacl":
        print("\n".join(describe_sspl_costs(cycles=4, size=size)))
    workers = min(16, os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as folder:
        for batch in batches:
            folders = write_sets(Path(folder) / str(batch), rows=2 * batch)
            cases, work = {}, 0
            if method == "sacl":
                published = PublishedTraining(folders["float32"], batch, device)
                cases["published, data held, float32"] = published.without_data
                cases["published procedure, float32"] = published.with_data
            for precision, compiled in (("float32", False), ("bfloat16", False), *([("auto", True)] * compile_too)):
                step = TrainingStep(method, folders["uint8"], batch, size, device, precision, workers, compiled)
                name = f"{precision}, compiled" if compiled else precision
                cases[f"encoders, {name}"] = step.encoders
                cases[f"+ loss, {name}"] = step.whole
                cases[f"+ data, {name}"] = step.with_data
                work = work or count_flops(partial(step.whole, 0)) / batch
            seconds = take_rounds({name: (step, 1) for name, step in cases.items()}, rounds, WARM_UP)
            print_table(seconds, batch, size, device)
            print_shares(seconds, batch, work, device)


def print_table(seconds, batch, size, device):
    """seconds: by case, of each round."""
    first = median(seconds.get("published procedure, float32", next(iter(seconds.values()))))
    print(f"{device}, batch {batch}, {size} px, {torch.get_num_threads()} threads: medians, spread over the rounds")
    print(f"{'':32} {'samples/s':>10} {'from':>8} {'to':>8} {'ratio':>7}")
    for name, times in seconds.items():
        low, high = batch / max(times), batch / min(times)
        print(f"{name:32} {batch / median(times):10.2f} {low:8.2f} {high:8.2f} {first / median(times):7.2f}")
    if device.type == "cuda":
        print(f"most memory: {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB")


def print_shares(seconds, batch, work, device):
    """What a matrix product reaches here, and how much of that the steps with data do; work: FLOP of a sample."""
    print(f"{work / 1e9:.1f} GFLOP a sample")
    for precision in ("float32", "bfloat16"):
        peak = product_speed(getattr(torch, precision), device)
        share = work * batch / median(seconds[f"+ data, {precision}"]) / peak
        print(f"matrix products in {precision}: {peak / 1e12:.2f} TFLOP/s, the step with data {share:.0%} of that")


def product_speed(dtype, device):
    """FLOP a second of the product of two square matrices, the fastest of a few."""
    side = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))

    def multiply(index):
        a @ b
        read_clock(device)

    return 2 * side**3 / min(timed(multiply, 1) for _ in range(6))


class PublishedTraining:
    """Steps of the published procedure on samples that it holds, or makes first, without workers.

    They run in a process of their own, as memory that main.py's steps keep would make them faster.
    """

    def __init__(self, folder, batch, device):
        self.pool = ProcessPoolExecutor(1, get_context("spawn"), _start_published, (folder, batch, device))

    def without_data(self, index):
        self.pool.submit(_published_step, held=True).result()

    def with_data(self, index):
        self.pool.submit(_published_step, held=False).result()


def _start_published(folder, batch, device):
    """In the other process: what its steps need."""
    global published
    data, model = PublishedProcedure(folder), SACL(FrameNet(), SoundNet()).to(device)
    published = data, model, torch.optim.AdamW(model.parameters(), 2e-4), [data[i] for i in range(batch)]


def _published_step(held):
    data, model, optimizer, samples = published
    loss = published_step(model, optimizer, samples if held else [data[i] for i in range(len(samples))])
    read_clock(loss.device)


class TrainingStep:
    """Steps of main.py: the encoders forward and backward with the optimizer; with the loss; and with the data. Of
    several processes each has its share, as there."""

    def __init__(self, method, folder, batch, size, device, precision, workers, compiled=False):
        flags = f"--method {method} --train_from_scratch 1 --trainset flickr10k --imgSize {size}"
        args = parse_args([*flags.split(), *(["--compile"] if compiled else [])])
        keep_freed_memory()
        self.model, self.trained = build_networks(args, device)
        self.objective, self.device = build_objective(args), device
        self.autocast = choose_autocast(precision, device)
        self.guard = Guard(build_optimizer(self.model, args), self.model, False)
        on_device = device.type == "cuda"
        data = TrainSet(folder, size, None, args.gridSize, args.seed, on_device, args.photometric)
        self.batches = cycle_over(TrainLoader(data, batch, 0, workers, device))
        self.held = next(self.batches)

    def encoders(self, index):
        """The networks alone: their outputs' mean stands for a loss."""
        self._step(self.held, lambda outputs, regions: sum(output.mean() for output in leaves(outputs)))

    def whole(self, index):
        """With the loss, on a batch that is on the device already."""
        self._step(self.held, self.objective)

    def with_data(self, index):
        """As main.py does it, from the files on."""
        self._step(next(self.batches), self.objective)

    def _step(self, batch, objective):
        self.guard.begin()
        with self.autocast:
            outputs = self.trained(batch["views"], batch["spect"])
        objective(outputs, batch["regions"]).backward()
        self.guard.step()
        read_clock(self.device)
