"""The command line of utils.speed."""

import argparse
import os
from importlib import import_module

import torch

from arguments_train import parse_args, positive
from utils.errors import one_sentence_errors


def main(argv: list[str] | None = None):
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(prog="python -m utils.speed", description="Timings of this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    style = {
        "epilog": "Further flags are those of main.py, such as --method, --imgSize, --compile.",
        "formatter_class": argparse.ArgumentDefaultsHelpFormatter,
        "allow_abbrev": False,
    }
    commands.add_parser("data", help="loading data on one core; with a GPU, how long a step waits for data", **style)
    commands.add_parser("eval", help="scoring, beside scoring map by map and the model's forward pass", **style)
    train = commands.add_parser("train", help="a training step, its parts, and the published step", **style)
    train.add_argument("--batch", type=positive, nargs="+", default=[256, 1024] if gpu else [16], help="samples a step")
    scale = commands.add_parser("scale", help="speed and memory of a step by batch, size and processes", **style)
    scale.add_argument(
        "--batch", type=positive, nargs="+", default=[64, 256, 1024] if gpu else [4, 8, 16], help="samples"
    )
    scale.add_argument("--size", type=positive, nargs="+", default=[112, 160, 224], help="sides of the views, rising")
    scale.add_argument(
        "--processes", type=positive, nargs="+", default=[1 if gpu else 2], help="with the smallest batch"
    )

    options, flags = parser.parse_known_args(argv)
    options = vars(options)
    defaults = f"--trainset flickr10k --train_from_scratch 1 --cache none --workers {min(16, os.cpu_count() or 1)}"
    args, device = parse_args([*defaults.split(), *flags]), torch.device("cuda" if gpu else "cpu")
    import_module(f"utils.speed.{options.pop('command')}").benchmark(args, device, **options)


if __name__ == "__main__":
    with one_sentence_errors():
        main()
