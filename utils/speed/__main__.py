"""The command line of utils.speed."""

import argparse

import torch

from models import METHODS
from utils.speed.data import benchmark_data, benchmark_waiting
from utils.speed.evaluation import benchmark_eval
from utils.speed.scale import benchmark_scale
from utils.speed.train import benchmark_train


def data(args, device):
    benchmark_data(args.clips)
    if device.type == "cuda":
        benchmark_waiting(device)
    else:
        print("no GPU here: how long one waits for its data is not measured")


def train(args, device):
    benchmark_train(device, args.batch, args.imgSize, args.compile, args.method)


def scale(args, device):
    benchmark_scale(device, args.batch, args.imgSize, args.loss_batch, args.processes, args.samples_per_second)


def score(args, device):
    benchmark_eval()


def parse_args(argv=None):
    """The command line; the namespace's `run` is the command's function."""
    parser = argparse.ArgumentParser(prog="python -m utils.speed", description="Timings of this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    gpu = torch.cuda.is_available()

    def command(name, run, text):
        added = commands.add_parser(name, help=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        added.set_defaults(run=run)
        return added

    one = command("data", data, "loading and preparation, one core; on a GPU how long a step waits for its data")
    one.add_argument("--clips", metavar="CLIPS", help="a folder or list of clips: their preparation is timed as well")

    one = command("train", train, "a training step, its parts, and the published procedure's")
    one.add_argument("--batch", type=int, nargs="+", default=[256, 1024] if gpu else [16], help="samples a step")
    one.add_argument("--imgSize", type=int, default=224, help="side of the views")
    one.add_argument("--compile", action="store_true", help="with torch.compile as well")
    one.add_argument("--method", choices=METHODS, default="sacl", help="what is trained")

    command("eval", score, "scoring beside the model's forward pass and beside scoring map by map, one core")

    one = command("scale", scale, "growth with batch, resolution and processes; a plan for large sets")
    one.add_argument("--batch", type=int, nargs="+", default=[64, 256, 1024] if gpu else [4, 8, 16])
    one.add_argument("--imgSize", type=int, nargs="+", default=[112, 160, 224], help="sides of the views, rising")
    one.add_argument("--loss_batch", type=int, nargs="+", default=[64, 256, 1024, 4096, 8192])
    one.add_argument("--processes", type=int, nargs="+", default=[1] if gpu else [1, 2], help="on this machine")
    one.add_argument("--samples_per_second", type=float, help="of one device, for the plan (None: measured here)")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    args.run(args, torch.device("cuda" if torch.cuda.is_available() else "cpu"))


if __name__ == "__main__":
    main()
