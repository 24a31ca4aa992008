"""python -m utils.benchmark train: samples/s of a training step and of its parts, and of the published procedure's."""

import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import torch

from arguments_train import parse_args
from dataset.loading import TrainLoader
from dataset.train_set import TrainSet
from models import build_model, build_objective
from models.resnet import FrameNet
from models.sacl import SACL
from models.vggish import SoundNet
from utils.benchmark.data import cycle_over, read_clock, write_sets
from utils.benchmark.flops import describe_sspl_costs
from utils.benchmark.published import PublishedProcedure, published_step
from utils.benchmark.timing import take_rounds
from utils.health import Guard
from utils.memory import keep_freed_memory
from utils.precision import choose_autocast

WARM_UP = 1  # rounds that do not count: the workers start, the kernels are chosen


def benchmark_train(device, batches, size=224, compiled=False, method="sacl", rounds=3):
    """Prints a table for each batch size: the published step, and ours by what it holds and how it computes.

    batches: sizes; size: side of the views; compiled: as well with torch.compile; rounds: each times every case once.
    method: of SSPL the published step is not timed, but what its parts cost is counted.
    """
    if method != "sacl":
        print("\n".join(describe_sspl_costs(cycles=4, size=size)))
    workers = min(16, os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as folder:
        for batch in batches:
            folders = write_sets(Path(folder) / str(batch), rows=2 * batch)
            cases = {}
            if device.type == "cpu" and method == "sacl":
                published = PublishedTraining(folders["float32"], batch)
                cases["published, data held, float32"] = published.without_data
                cases["published procedure, float32"] = published.with_data
            for precision in ("float32", "bfloat16"):
                step = TrainingStep(method, folders["uint8"], batch, size, device, precision, workers)
                if method == "sacl":
                    cases[f"encoders, {precision}"] = step.encoders
                cases[f"+ loss, {precision}"] = step.whole
                cases[f"+ data, {precision}"] = step.with_data
            if compiled:
                step = TrainingStep(method, folders["uint8"], batch, size, device, "auto", workers, compiled=True)
                cases["+ data, auto, compiled"] = step.with_data
            seconds = take_rounds({name: (step, 1) for name, step in cases.items()}, rounds, WARM_UP)
            print_table(seconds, batch, size, device)


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


class PublishedTraining:
    """Steps of the published procedure on samples that it holds, or makes first, without workers.

    They run in a process of their own, as memory that main.py's steps keep would make them faster.
    """

    def __init__(self, folder, batch):
        self.pool = ProcessPoolExecutor(1, get_context("spawn"), _start_published, (folder, batch))

    def without_data(self, index):
        self.pool.submit(_published_step, held=True).result()

    def with_data(self, index):
        self.pool.submit(_published_step, held=False).result()


def _start_published(folder, batch):
    """In the other process: what its steps need."""
    global published
    data, model = PublishedProcedure(folder), SACL(FrameNet(), SoundNet())
    published = data, model, torch.optim.AdamW(model.parameters(), 2e-4), [data[i] for i in range(batch)]


def _published_step(held):
    data, model, optimizer, samples = published
    published_step(model, optimizer, samples if held else [data[i] for i in range(len(samples))])


class TrainingStep:
    """Steps of main.py: SACL's encoders forward and backward with the optimizer; with the loss; and with the data."""

    def __init__(self, method, folder, batch, size, device, precision, workers, compiled=False):
        args = parse_args(["--method", method, "--train_from_scratch", "1", "--trainset", "flickr10k"])
        keep_freed_memory()
        self.model = build_model(args).to(device, memory_format=torch.channels_last)
        if compiled:
            self.model.compile()
        self.objective, self.device = build_objective(args), device
        self.autocast = choose_autocast(precision, device)
        self.guard = Guard(torch.optim.AdamW(self.model.parameter_groups(args), fused=True), self.model, False)
        data = TrainSet(folder, size, on_device=device.type == "cuda")
        self.batches = cycle_over(TrainLoader(data, batch, 0, workers, device))
        self.held = next(self.batches)

    def encoders(self, index):
        """The networks alone: their outputs' mean stands for a loss."""
        self._step(self.held, lambda outputs, regions: sum(o.mean() for o in (*outputs[0], *outputs[1:])))

    def whole(self, index):
        """With the loss, on a batch that is on the device already."""
        self._step(self.held, self.objective)

    def with_data(self, index):
        """As main.py does it, from the files on."""
        self._step(next(self.batches), self.objective)

    def _step(self, batch, objective):
        self.guard.begin()
        with self.autocast:
            outputs = self.model(batch["views"], batch["spect"])
        objective(outputs, batch["regions"]).backward()
        self.guard.step()
        read_clock(self.device)
