"""Flags of test.py. Edit the defaults here for your experiments."""

import argparse
import sys
from pathlib import Path

from arguments_train import (
    BATCH_SIZE,
    IMAGE_SIZE,
    add_cycles_flag,
    add_data_path,
    add_encoder_flag,
    add_machine_flags,
    add_method_flag,
    add_momentum_flag,
    add_weight_flags,
    checked_data_path,
    checked_method,
    foreign_flags,
    fraction,
    image_size,
    natural,
    peek,
    positive,
    refuse_flags,
    seed,
    trained_settings,
    weights_resnet_imgnet,
)
from dataset import has_data
from dataset.benchmarks import TEST_SETS
from models import METHODS, weights_argument
from utils.evaluation.thresholds import RULES

weights = "./models/pretrain"  # the folder of frame_best.pth, sound_best.pth (and pcm_best.pth)
demo_run = "./runs/{method}_demo"  # what `python main.py` writes where there is no dataset

VGGSS = ("vggss5158", "vggss", "vggss4655", "vggss_heard", "vggss_unheard")  # the no-audio baselines' test sets

RENAMED = {"--swap_sounds": "is now called --shuffle_sounds"}  # flags of earlier versions


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """All settings, complete, of the command that comes first: compare, baselines, or (without one) evaluate."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["model-free"]:
        raise ValueError("model-free is now called baselines: python test.py baselines")
    if argv[:1] in (["compare"], ["baselines"]):
        checked_data_path(peek(argv, "data_path").data_path, argv[0])  # baselines need no data in it
        return build_command_parser().parse_args(argv)
    return parse_evaluation(argv)


def parse_evaluation(argv):
    """The settings of an evaluation. Without data and published weights, the defaults are those of the demo run; the
    method and what else the network was trained with are read from the folder of the weights where it holds a run.

    Raises ValueError for a flag that belongs to another method, and for flags that exclude each other.
    """
    parts = dict.fromkeys(part for method in METHODS.values() for part in method.parts)
    known = peek(argv, "method", "data_path", "testset", *map(weights_argument, parts))
    named = [path for part in parts if (path := getattr(known, weights_argument(part)))]
    run = trained_settings(Path(named[0]).parent) if named else {}
    method = checked_method(known.method or run.get("method", "sacl"))
    parser = build_parser(method)
    checked_data_path(known.data_path, known.testset)
    first = parser.get_default(weights_argument(METHODS[method].parts[0]))
    no_data = not has_data(known.data_path or parser.get_default("data_path"))
    if no_data and not named and not Path(first).exists() and known.testset in (None, "demo"):
        folder = demo_run.format(method=method)
        trained = {weights_argument(part): f"{folder}/{part}_best.pth" for part in METHODS[method].parts}
        parser.set_defaults(testset="demo", ckpt=f"{folder}/test", **trained)
        run = trained_settings(folder)
    shared = ("imgSize", *METHODS[method].trained_with)
    parser.set_defaults(**{key: run[key] for key in shared if key in run})
    args = parser.parse_args(argv)
    if args.shuffle_sounds and (args.negative_audio or args.retrieval):
        raise ValueError("--shuffle_sounds excludes --negative_audio and --retrieval, which pair sounds themselves")
    return args


def build_command_parser():
    """The commands that score no checkpoint."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    compare = commands.add_parser("compare", help="two results: by how much they differ, and whether that is chance")
    compare.add_argument("first", metavar="A/results.json")
    compare.add_argument("second", metavar="B/results.json")
    free = commands.add_parser("baselines", help="what predictions without sound score, from the public lists alone")
    free.add_argument("--testset", nargs="+", choices=TEST_SETS, default=VGGSS, help="default: VGG-SS and its subsets")
    add_data_path(free)
    add_rules(free)
    return parser


def build_parser(method):
    parser = argparse.ArgumentParser(
        description="Score a checkpoint: cIoU, AUC and pictures.",
        epilog="Further commands: compare A/results.json B/results.json, and baselines.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(command="evaluate", front_end=METHODS[method].front_end)
    add_method_flag(parser, method)
    add_machine_flags(parser)
    add_weight_flags(parser, method, folder=weights)
    METHOD_FLAGS[method](parser, "")

    test = parser.add_argument_group("test")
    test.add_argument("--imgSize", type=image_size, default=224, help=IMAGE_SIZE)
    test.add_argument("--batch_size_per_gpu", type=positive, default=64, help=BATCH_SIZE)
    test.add_argument("--testset", choices=TEST_SETS, default="flickr", help="demo where there is no dataset")
    add_rules(test)
    test.add_argument("--ckpt", default="./runs/test", help="folder for results.json, per_sample.csv, report.html")
    test.add_argument(
        "--clip",
        nargs="+",
        metavar="FILE",
        help="localise the sounds in these videos instead, into CKPT/clips; an image is followed by its sound file",
    )
    test.add_argument("--num_visual", type=natural, default=20, help="items to draw, from the first on")
    test.add_argument("--skip_missing", action="store_true", help="leave unreadable items out, and list them")
    test.add_argument("--negative_audio", action="store_true", help="as well: silence, noise, and other clips' sounds")
    test.add_argument(
        "--retrieval",
        type=positive,
        nargs="?",
        const=METHODS[method].retrieval_items,
        metavar="ITEMS",
        help=f"as well: which sound fits an image best, and vice versa, among so many items "
        f"({METHODS[method].retrieval_items} where none are named); costs their square",
    )
    test.add_argument("--ogl", type=fraction, metavar="ALPHA", help="as well: object-guided maps (EZ-VSL: 0.4)")
    test.add_argument("--weights_resnet_imgnet", default=weights_resnet_imgnet, help="ImageNet weights, for --ogl")
    test.add_argument("--shuffle_sounds", action="store_true", help="give each item another's sound: does it matter?")
    test.add_argument("--seed", type=seed, default=12345, help="of shuffled sounds, noises and the gallery")
    refuse_flags(parser, foreign_flags(parser, method, METHOD_FLAGS) | RENAMED)
    return parser


def add_sspl_flags(parser, trainset):
    """trainset: as of arguments_train's functions; nothing here depends on it."""
    add_encoder_flag(parser.add_argument_group("SSPL"))
    parser.set_defaults(fine_tune=0, weights_ssl_head=None, cache_features="none")  # what only training needs


def add_pcm_flags(parser, trainset):
    add_sspl_flags(parser, trainset)
    add_cycles_flag(parser.add_argument_group("predictive coding module"))


def add_no_flags(parser, trainset):
    parser.set_defaults(train_from_scratch=1)  # the weights are in the file that is tested


def add_no_dropout(parser, trainset):
    add_no_flags(parser, trainset)
    parser.set_defaults(dropout_img=0.0, dropout_aud=0.0)


def add_slavc_flags(parser, trainset):
    add_no_dropout(parser, trainset)
    add_momentum_flag(parser.add_argument_group("SLAVC"), default=0)  # as the authors test
    parser.set_defaults(slavc_momentum=0.0)


METHOD_FLAGS = dict.fromkeys(METHODS, add_no_flags) | {
    "sspl": add_sspl_flags,
    "sspl_pcm": add_pcm_flags,
    "slavc": add_slavc_flags,
    "fnac": add_no_dropout,
}


def add_rules(parser):
    parser.add_argument(
        "--rules", nargs="+", choices=[*RULES], default=[*RULES], help="threshold rules; the first gives the headline"
    )
