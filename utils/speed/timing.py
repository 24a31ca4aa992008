"""What all timings share: the training set that they read, the clock, and the table."""

from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import torch
from torch.utils.benchmark import timer  # waits for CUDA before it reads the clock

from dataset.demo.scenes import make_scene
from dataset.prepare.rows import FRAME_FORMATS, TRAIN_KINDS, RowWriter, array_paths, make_row
from dataset.storage.layout import TRAIN_FOLDERS
from dataset.train_loader import TrainLoader
from utils.training.build import build_train_loader

FOLDER = TRAIN_FOLDERS["flickr10k"]


def write_sets(folder: Path, rows: int, formats: Iterable[str] = FRAME_FORMATS) -> dict[str, Path]:
    """Writes a training set of up to 64 drawn scenes, repeated until there are `rows`, in each of the frame formats.

    Returns: by format, the folder to read it from (--data_path).
    """
    scenes = [make_scene(np.random.default_rng(i)) for i in range(min(rows, 64))]
    scenes = [make_row(scene.frame, scene.waveform, with_mask=True) for scene in scenes]
    for name in formats:
        paths = array_paths(folder / name / FOLDER, "train", TRAIN_KINDS, "_10k")
        with RowWriter(paths, "train", frame_format=name) as writer:
            for row in range(rows):
                writer.add(scenes[row % len(scenes)])
    return {name: folder / name for name in formats}


def changed(args: Namespace, **settings) -> Namespace:
    """A copy of args with other settings."""
    return Namespace(**{**vars(args), **settings})


def build_loader(args: Namespace, device: torch.device, model: torch.nn.Module | None = None) -> TrainLoader:
    """main.py's training loader, without the line that describes the set."""
    with redirect_stdout(StringIO()):
        return build_train_loader(args, device, model)


def repeated(loader: Iterable) -> Iterator:
    """The batches of one epoch after the other. (itertools.cycle would keep those of the first, and repeat them.)"""
    while True:
        yield from loader


def timed(function: Callable, calls: int = 1, items: int = 1) -> float:
    """Seconds an item, where each call of the function handles `items` items."""
    started = timer()
    for _ in range(calls):
        function()
    return (timer() - started) / (calls * items)


def take_rounds(cases: dict[str, tuple], rounds: int, warm_up: int = 0) -> dict[str, np.ndarray]:
    """Times all cases in every round, so that other work on the machine affects them alike.

    Args:
        cases: the arguments of `timed`, by name.
        warm_up: rounds before the others that do not count.
    Returns: by name, the seconds an item of each round.
    """
    taken = [{name: timed(*case) for name, case in cases.items()} for _ in range(warm_up + rounds)]
    return {name: np.array([one[name] for one in taken[warm_up:]]) for name in cases}


def print_table(title: str, seconds: dict[str, np.ndarray], item: str = "sample"):
    """Prints medians and extremes over the rounds, and each case's speed as a multiple of the first one's."""
    first = np.median(next(iter(seconds.values())))
    print(f"{title}; medians of {len(next(iter(seconds.values())))} rounds")
    print(f"{'':44} {f'ms a {item}':>12} {f'{item}s/s':>10} {'slowest':>9} {'fastest':>9} {'speedup':>8}")
    for name, values in seconds.items():
        fast, middle, slow = np.quantile(values, [0, 0.5, 1])
        rates = f"{1 / middle:10.2f} {1 / slow:9.2f} {1 / fast:9.2f}"
        print(f"{name:44} {1000 * middle:12.2f} {rates} {first / middle:8.2f}")
