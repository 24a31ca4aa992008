"""The command line of utils.benchmark."""

import argparse

import torch

from utils.benchmark.data import benchmark_data, benchmark_waiting


def main():
    parser = argparse.ArgumentParser(prog="python -m utils.benchmark", description="Timings of this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    data = commands.add_parser("data", help="loading and preparation, one core")
    data.add_argument("--clips", metavar="CLIPS", help="a folder or list of clips: their preparation is timed as well")
    args = parser.parse_args()
    benchmark_data(args.clips)
    if torch.cuda.is_available():
        benchmark_waiting(torch.device("cuda"))
    else:
        print("no GPU here: how long one waits for its data is not measured")


if __name__ == "__main__":
    main()
