"""Writes the demo set: python -m dataset.demo --out ./Datasets/Demo"""

import argparse

from dataset.demo.files import generate


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False, description="Generates the demo set.")
    parser.add_argument("--out", default="./Datasets/Demo", help="the new folder")
    parser.add_argument("--num_train", type=int, default=640, help="scenes without labels, to train on")
    parser.add_argument("--num_test", type=int, default=160, help="scenes with the box of what sounds")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    try:
        generate(args.out, args.num_train, args.num_test, args.seed)
    except FileExistsError as error:
        parser.exit(2, f"{error}\n")
    print(f"{args.num_train} training and {args.num_test} test scenes in {args.out}")


if __name__ == "__main__":
    main()
