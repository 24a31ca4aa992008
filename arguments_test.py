"""Flags of test.py. Edit the defaults here for your experiments."""

import argparse
import json
from pathlib import Path

from arguments_train import add_data_flags, add_machine_flags, add_weight_flags
from dataset import TEST_SETS, has_data
from utils.rules import RULES

weights_frame = "./models/pretrain/frame_best.pth"
weights_sound = "./models/pretrain/sound_best.pth"
demo_run = "./runs/sacl_demo"  # what `python main.py` leaves behind where there is no data set


def parse_args(argv=None):
    """All settings, complete. Without data and published weights, the defaults are those of the demo run."""
    parser = build_parser()
    args = parser.parse_known_args(argv)[0]
    if not has_data(args.data_path) and not Path(args.weights_frame).exists() and args.testset in (None, "demo"):
        parser.set_defaults(
            testset="demo",
            weights_frame=f"{demo_run}/frame_best.pth",
            weights_sound=f"{demo_run}/sound_best.pth",
            ckpt=f"{demo_run}/test",
        )
        args = parser.parse_known_args(argv)[0]
    parser.set_defaults(testset=args.testset or "flickr", imgSize=trained_size(args.weights_frame))
    return parser.parse_args(argv)


def build_parser():
    parser = argparse.ArgumentParser(
        description="Score a SACL checkpoint: cIoU, AUC and pictures.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_data_flags(parser)
    add_machine_flags(parser)
    add_weight_flags(parser, frame=weights_frame, sound=weights_sound)

    test = parser.add_argument_group("test")
    test.add_argument(
        "--testset", choices=TEST_SETS, help="default: flickr, or demo where --data_path holds no data set"
    )
    test.add_argument(
        "--rules", nargs="+", choices=[*RULES], default=[*RULES], help="threshold rules; the first gives the headline"
    )
    test.add_argument("--ckpt", default="./runs/test", help="folder for results.json, per_sample.csv, report.html")
    test.add_argument(
        "--clip",
        nargs="+",
        metavar="FILE",
        help="localise the sounds in these videos instead, into CKPT/clips; an image is followed by its sound file",
    )
    test.add_argument("--num_visual", type=int, default=20, help="items to draw, from the first on")
    test.add_argument("--skip_missing", action="store_true", help="leave unreadable items out, and list them")
    test.add_argument("--swap_sounds", action="store_true", help="give each item another's sound: does it decide?")
    test.add_argument("--seed", type=int, default=12345, help="of the swapped sounds")
    return parser


def trained_size(weights):
    """The image size with which a run of main.py trained these weights; 224, as published, for any other file."""
    settings = Path(weights).parent / "args.json"
    return json.loads(settings.read_text())["arguments"]["imgSize"] if settings.is_file() else 224
