"""Flags of test.py. Edit the defaults here for your experiments."""

import argparse
import sys
from pathlib import Path

from arguments_train import (
    add_cycles_flag,
    add_data_flags,
    add_data_path,
    add_encoder_flag,
    add_machine_flags,
    add_method_flag,
    add_weight_flags,
    chosen_method,
    fraction,
    positive,
    refuse_foreign_flags,
    trained_settings,
    weights_resnet_imgnet,
)
from dataset import has_data
from dataset.benchmarks import TEST_SETS
from models import LOCALISING_PARTS
from utils.evaluation.thresholds import RULES

weights = "./models/pretrain"  # the folder of frame_best.pth, sound_best.pth (and pcm_best.pth)
demo_run = "./runs/{method}_demo"  # what `python main.py` leaves behind where there is no data set
TRAINED_WITH = ("imgSize", "backbone", "cycs_pcm")  # settings of a run that its test must share

VGGSS = ("vggss5158", "vggss", "vggss4655", "vggss_heard", "vggss_unheard")  # scored without a model by default


def parse_args(argv=None):
    """All settings, complete, of the command that comes first: compare, model-free, or (without one) evaluate."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] in (["compare"], ["model-free"]):
        return build_command_parser().parse_args(argv)
    return parse_evaluation(argv)


def parse_evaluation(argv):
    """The settings of an evaluation. Without data and published weights, the defaults are those of the demo run; the
    method and what else the network was trained with are read from the folder of --weights_frame where it holds a run.

    Raises ValueError for a flag that belongs to another method.
    """
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--weights_frame", default="")
    run = trained_settings(Path(finder.parse_known_args(argv)[0].weights_frame).parent)
    method = chosen_method(argv, default=run.get("method", "sacl"))
    parser = build_parser(method)
    args, unknown = parser.parse_known_args(argv)
    refuse_foreign_flags(method, unknown, build_parser)
    if not has_data(args.data_path) and not Path(args.weights_frame).exists() and args.testset in (None, "demo"):
        folder = demo_run.format(method=method)
        trained = {f"weights_{part}": f"{folder}/{part}_best.pth" for part in LOCALISING_PARTS[method]}
        parser.set_defaults(testset="demo", ckpt=f"{folder}/test", **trained)
        args = parser.parse_known_args(argv)[0]
    run = trained_settings(Path(args.weights_frame).parent)
    parser.set_defaults(testset=args.testset or "flickr", **{key: run[key] for key in TRAINED_WITH if key in run})
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


def build_parser(method):
    parser = argparse.ArgumentParser(
        description="Score a checkpoint: cIoU, AUC and pictures.",
        epilog="Further commands: compare A/results.json B/results.json, and model-free.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(command="evaluate")
    add_method_flag(parser)
    parser.set_defaults(method=method)
    add_data_flags(parser)
    add_machine_flags(parser)
    add_weight_flags(parser, method, folder=weights)
    if method != "sacl":
        add_encoder_flag(parser)
        parser.set_defaults(fine_tune=0, weights_ssl_head=None)  # what only training needs
    if method == "sspl_pcm":
        add_cycles_flag(parser)

    test = parser.add_argument_group("test")
    test.add_argument(
        "--testset", choices=TEST_SETS, help="default: flickr, or demo where --data_path holds no data set"
    )
    add_rules(test)
    test.add_argument("--ckpt", default="./runs/test", help="folder for results.json, per_sample.csv, report.html")
    test.add_argument(
        "--clip",
        nargs="+",
        metavar="FILE",
        help="localise the sounds in these videos instead, into CKPT/clips; an image is followed by its sound file",
    )
    test.add_argument("--num_visual", type=int, default=20, help="items to draw, from the first on")
    test.add_argument("--skip_missing", action="store_true", help="leave unreadable items out, and list them")
    test.add_argument("--negative_audio", action="store_true", help="as well: silence, noise, and other clips' sounds")
    test.add_argument(
        "--retrieval",
        type=positive,
        nargs="?",
        const=100 if method == "sspl_pcm" else 1000,  # its PCM sees an image anew with each sound: 0.25 s on a CPU
        metavar="ITEMS",
        help="as well: which sound fits an image best, and vice versa, among so many items (default: 1000, of sspl_pcm "
        "100); costs their square",
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
