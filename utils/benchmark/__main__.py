"""The command line of utils.benchmark."""

import argparse

import torch

from utils.benchmark.data import benchmark_data, benchmark_waiting
from utils.benchmark.evaluation import benchmark_eval


def main():
    parser = argparse.ArgumentParser(prog="python -m utils.benchmark", description="Timings of this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    data = commands.add_parser("data", help="loading and preparation, one core")
    data.add_argument("--clips", metavar="CLIPS", help="a folder or list of clips: their preparation is timed as well")
    commands.add_parser("eval", help="scoring beside the model's forward pass and beside scoring map by map, one core")
    args = parser.parse_args()
    if args.command == "eval":
        benchmark_eval()
        return
    benchmark_data(args.clips)
    if torch.cuda.is_available():
        benchmark_waiting(torch.device("cuda"))
    else:
        print("no GPU here: how long one waits for its data is not measured")


if __name__ == "__main__":
    main()
