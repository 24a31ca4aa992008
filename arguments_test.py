"""Flags of test.py. Edit the defaults here for your experiments."""

import argparse
import json
import sys
from pathlib import Path

from arguments_train import (
    add_data_flags,
    add_data_path,
    add_machine_flags,
    add_method_flag,
    add_weight_flags,
    fraction,
    positive,
    weights_resnet_imgnet,
)
from dataset import TEST_SETS, has_data
from utils.rules import RULES

weights_frame = "./models/pretrain/frame_best.pth"
weights_sound = "./models/pretrain/sound_best.pth"
demo_run = "./runs/sacl_demo"  # what `python main.py` leaves behind where there is no data set


VGGSS = ("vggss5158", "vggss", "vggss4655", "vggss_heard", "vggss_unheard")  # scored without a model by default


def parse_args(argv=None):
    """All settings, complete, of the command that comes first: compare, model-free, or (without one) evaluate."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] in (["compare"], ["model-free"]):
        return build_command_parser().parse_args(argv)
    return parse_evaluation(argv)


def parse_evaluation(argv):
    """The settings of an evaluation. Without data and published weights, the defaults are those of the demo run."""
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


def build_command_parser():
    """The commands that score no checkpoint."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    compare = commands.add_parser("compare", help="two results: by how much they differ, and whether that is chance")
    compare.add_argument("first", metavar="A/results.json")
    compare.add_argument("second", metavar="B/results.json")
    free = commands.add_parser("model-free", help="what predictions without a model score, from the public lists alone")
    free.add_argument("--testset", nargs="+", choices=TEST_SETS, default=VGGSS, help="default: VGG-SS and its subsets")
    add_data_path(free)
    add_rules(free)
    return parser


def build_parser():
    parser = argparse.ArgumentParser(
        description="Score a SACL checkpoint: cIoU, AUC and pictures.",
        epilog="Further commands: compare A/results.json B/results.json, and model-free.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(command="evaluate")
    add_method_flag(parser)
    add_data_flags(parser)
    add_machine_flags(parser)
    add_weight_flags(parser, frame=weights_frame, sound=weights_sound)

    test = parser.add_argument_group("test")
    test.add_argument(
        "--testset", choices=TEST_SETS, help="default: flickr, or demo where --data_path holds no data set"
    )
    add_rules(test)
    test.add_argument("--ckpt", default="./runs/test", help="folder for results.json, per_sample.csv and pictures")
    test.add_argument("--num_visual", type=int, default=20, help="items to draw, from the first on")
    test.add_argument("--skip_missing", action="store_true", help="leave unreadable items out, and list them")
    test.add_argument("--negative_audio", action="store_true", help="as well: silence, noise, and other clips' sounds")
    test.add_argument(
        "--retrieval",
        type=positive,
        nargs="?",
        const=1000,
        metavar="ITEMS",
        help="as well: which sound fits an image best, and vice versa, among so many items (1000); costs their square",
    )
    test.add_argument("--ogl", type=fraction, metavar="ALPHA", help="as well: object-guided maps (EZ-VSL: 0.4)")
    test.add_argument("--weights_resnet_imgnet", default=weights_resnet_imgnet, help="ImageNet weights, for --ogl")
    test.add_argument("--swap_sounds", action="store_true", help="give each item another's sound: does it decide?")
    test.add_argument("--seed", type=int, default=12345, help="of swapped sounds, noises and the gallery")
    return parser


def add_rules(parser):
    parser.add_argument(
        "--rules", nargs="+", choices=[*RULES], default=[*RULES], help="threshold rules; the first gives the headline"
    )


def trained_size(weights):
    """The image size with which a run of main.py trained these weights; 224, as published, for any other file."""
    settings = Path(weights).parent / "args.json"
    return json.loads(settings.read_text())["arguments"]["imgSize"] if settings.is_file() else 224
