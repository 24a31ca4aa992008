"""Flags of main.py. Edit the defaults here for your experiments."""

import argparse
import json
import os
from pathlib import Path

from dataset import BY_SIZE, TEST_SETS, TRAIN_FOLDERS, default_valset, exact_trainset, has_data, testset_of
from models import LOCALISING_PARTS, METHODS
from models.sspl import BACKBONES

data_path = "./Datasets"
weights_resnet_imgnet = "./models/resnet/resnet18-5c106cde.pth"
weights_vgg16 = "./models/vgg16/vgg16-397923af.pth"
weights_vggish = "./models/torchvggish/torchvggish/vggish_pretrained/vggish-10086976.pth"

# What `python main.py` runs with where there is no data set: small enough to learn on two CPU cores in minutes. The
# settings that differ from the published ones do so because nothing is pre-trained.
DEMO = {
    "testset": "demo",
    "train_from_scratch": 1,
    "imgSize": 160,
    "batch_size_per_gpu": 16,  # small: so early, the number of steps counts more than what each of them sees
    "num_epoch": 4,
    "eval_epoch": 4,
    "lr_schedule": "cosine",
    "workers": 1,
}

# - SACL: a higher temperature, a fast frame network (its batch norm bears it) and a slow sound network (it has none,
#   and wide layers: a tenth more, and all sounds soon look alike); and one region (gridSize 1): which Felzenszwalb
#   region holds the similar cells means nothing as long as the similarity does, and what it picks by chance confirms
#   itself (see docs/demo.md for the numbers).
# - SSPL with the predictive coding module: four times the paper's rates, for which the set is small (see docs/sspl.md).
DEMO_OF = {
    "sacl": {"gridSize": 1, "tempD": 0.07, "lr_frame": 1e-3, "lr_sound": 4e-6},
    "sspl": {},
    "sspl_pcm": {"lr_head": 2e-4, "lr_rest": 1e-4},
}

# SSPL's learning rates in its paper, which says that they matter a great deal: of the head (lr1), of all else (lr2).
SSPL_RATES = {
    "sspl": {
        "flickr10k": (2e-3, 5e-4),
        "vggsound10k": (1e-2, 5e-3),
        "flickr144k": (5e-3, 1e-3),
        "vggsound144k": (5e-3, 1e-3),
    },
    "sspl_pcm": {
        "flickr10k": (5e-5, 2e-5),
        "vggsound10k": (5e-5, 2e-5),
        "flickr144k": (5e-5, 2e-5),
        "vggsound144k": (1e-5, 1e-5),
    },
}


def parse_args(argv=None):
    """All settings of a run, complete: what depends on the method or the training set is filled in here.

    Raises ValueError for a flag that belongs to another method.
    """
    method = chosen_method(argv)
    parser = build_parser(method)
    args, unknown = parser.parse_known_args(argv)
    refuse_foreign_flags(method, unknown, build_parser)
    trainset = args.trainset or ("flickr" if has_data(args.data_path) else "demo")
    valset = "none" if trainset == "demo" else default_valset(args)
    parser.set_defaults(
        trainset=trainset, testset=testset_of(trainset), valset=valset, ckpt=f"./runs/{method}_{trainset}"
    )
    if method in SSPL_RATES:
        rates = SSPL_RATES[method].get(exact_trainset(trainset, args.num_train), SSPL_RATES[method]["flickr10k"])
        parser.set_defaults(lr_head=rates[0], lr_rest=rates[1])
        if args.fine_tune and args.cache_features != "none":
            raise ValueError("--cache_features stores what frozen encoders compute: leave out it or --fine_tune 1")
        if args.init_from:
            parser.set_defaults(backbone=trained_settings(args.init_from).get("backbone", "resnet18"))
    if trainset == "demo":
        parser.set_defaults(**DEMO, **DEMO_OF[method])
    args = parser.parse_args(argv)
    if args.batch_size_per_gpu % args.accumulate:
        parser.error(f"--accumulate {args.accumulate} does not divide a batch of {args.batch_size_per_gpu}")
    return args


def build_parser(method):
    parser = argparse.ArgumentParser(
        description="Train visual sound source localisation: SACL by contrast, SSPL by prediction without negatives.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog=f"These are the flags of --method {method}; --method NAME --help lists those of another.",
    )
    add_method_flag(parser)
    add_data_flags(parser)
    add_machine_flags(parser)
    add_weight_flags(parser, method)

    run = parser.add_argument_group("run")
    run.add_argument(
        "--ckpt", help="folder of this run's log, checkpoints and pictures (default: runs/METHOD_TRAINSET)"
    )
    run.add_argument("--resume", action="store_true", help="go on with the run in --ckpt from its last.pth")
    run.add_argument("--force_resume", action="store_true", help="--resume although settings of the run have changed")
    run.add_argument("--save_minutes", type=float, default=10, help="write last.pth so often within an epoch, too")
    run.add_argument(
        "--on_nan", choices=["stop", "skip"], default="stop", help="what to do with a step whose gradient is not finite"
    )
    run.add_argument("--eval_epoch", type=positive, default=1, help="evaluate every so many epochs, and after the last")
    run.add_argument("--num_visual", type=int, default=20, help="test items to draw at the end")
    run.add_argument("--seed", type=int, default=12345, help="of weights, order, augmentation and swapped sounds")

    data = parser.add_argument_group("training data")
    data.add_argument(
        "--trainset",
        choices=[*BY_SIZE, *TRAIN_FOLDERS],
        help="default: flickr, or demo where --data_path holds no data set",
    )
    data.add_argument("--testset", choices=TEST_SETS, help="scored while training (default: the training set's)")
    data.add_argument(
        "--valset",
        choices=[*TEST_SETS, "none"],
        help="selects the best checkpoint; none: the test set does, as in the papers "
        "(default: flickr_val where --data_path has it and the training set is not the demo, else none)",
    )
    data.add_argument("--num_train", type=positive, help="train on the first so many rows (default: all)")
    data.add_argument(
        "--cache",
        choices=["auto", "none", "ram", "device"],
        default="auto",
        help="keep the set, pixels as uint8, in memory or on the device; auto: where half of what is free suffices",
    )
    data.add_argument(
        "--augment",
        choices=["auto", "cpu", "device"],
        default="auto",
        help="who makes the views: the loader's workers, or the device for whole batches (auto: a GPU does)",
    )

    model = parser.add_argument_group("model")
    model.add_argument("--train_from_scratch", type=int, default=0, choices=[0, 1], help="1: random first weights")
    model.add_argument("--weights_resnet_imgnet", default=weights_resnet_imgnet, help="ImageNet weights of ResNet-18")
    model.add_argument("--weights_vggish", default=weights_vggish, help="AudioSet weights of VGGish")

    optimisation = parser.add_argument_group("optimisation")
    optimisation.add_argument("--num_epoch", type=positive, default=100)
    optimisation.add_argument("--optimizer", choices=["sgd", "adam", "adamw"], default="adamw")
    optimisation.add_argument(
        "--lr_schedule", choices=["constant", "cosine"], default="constant", help="cosine: to 0 at the last epoch"
    )
    optimisation.add_argument("--beta1", type=float, default=0.9, help="momentum of sgd, beta1 of adam and adamw")
    optimisation.add_argument("--weight_decay", type=float, default=1e-4)
    optimisation.add_argument(
        "--accumulate",
        type=positive,
        default=1,
        help="put a batch through the networks in so many parts, to save memory: the loss is still the whole batch's, "
        "batch norm's statistics are a part's",
    )
    optimisation.add_argument("--compile", action="store_true", help="torch.compile the networks: a slower start")
    optimisation.add_argument(
        "--precision",
        choices=["auto", "float32", "bfloat16"],
        default="auto",
        help="auto: bfloat16 where the hardware gains",
    )
    for add_flags in METHOD_FLAGS[method]:
        add_flags(parser)
    return parser


def add_sacl_flags(parser):
    group = parser.add_argument_group("SACL")
    group.add_argument(
        "--gridSize", type=int, default=-1, choices=[-1, 1, 2, 4, 8], help="regions: -1 Felzenszwalb, else a grid"
    )
    group.add_argument("--tempD", type=float, default=0.005, help="temperature of the contrastive loss")
    group.add_argument(
        "--ratio_retain_sim", type=fraction, default=0.5, help="fraction of similarity cells DROPPED from the mask"
    )
    group.add_argument("--ratio_neg", type=fraction, default=0.75, help="share of the batch kept as negatives")
    group.add_argument(
        "--masked_max",
        choices=["zero", "exclude"],
        default="zero",
        help="cells outside the mask: published, or left out",
    )
    group.add_argument(
        "--local_negatives", action="store_true", help="negatives and batch norm per process (published)"
    )
    group.add_argument("--lr_frame", type=float, default=2e-4, help="of the frame network (the paper: 1e-4 for 144k)")
    group.add_argument("--lr_sound", type=float, default=2e-4, help="of the sound network (the paper: 1e-4 for 144k)")
    parser.set_defaults(photometric=True, cache_features="none")  # its encoders are trained


def add_sspl_flags(parser):
    group = parser.add_argument_group("SSPL")
    add_encoder_flag(group)
    group.add_argument("--weights_vgg16", default=weights_vgg16, help="ImageNet weights of VGG16")
    group.add_argument(
        "--init_from",
        metavar="RUN",
        help="folder of a run whose frame and sound networks to start with",
    )
    group.add_argument("--weights_ssl_head", help="ssl_head_best.pth, with --weights_frame and --weights_sound")
    group.add_argument("--fine_tune", type=int, default=0, choices=[0, 1], help="1: train the encoders as well")
    group.add_argument(
        "--cache_features",
        choices=["none", "sound", "all"],
        default="none",
        help="compute once, and store beside the data: VGGish's features (nothing else changes); all: the frame "
        "network's too, of the unaugmented frame, so that both views of it are the same",
    )
    group.add_argument("--lr_head", type=float, help="of the head (lr1; default: the paper's for the training set)")
    group.add_argument("--lr_rest", type=float, help="of all else (lr2; default: the paper's for the training set)")
    # The published batch: 128 on each of two GPUs. Views are crops and flips only. Regions are SACL's: one covers the
    # view, and nobody looks at it.
    parser.set_defaults(batch_size_per_gpu=128, photometric=False, gridSize=1, local_negatives=False)


def add_pcm_flags(parser):
    add_cycles_flag(parser.add_argument_group("predictive coding module"))
    parser.set_defaults(num_epoch=20)


def add_encoder_flag(group):
    """The flag of main.py and test.py for SSPL's frame network."""
    group.add_argument("--backbone", choices=BACKBONES, default="vgg16", help="frame network")


def add_cycles_flag(group):
    """The flag of main.py and test.py for the predictive coding module."""
    group.add_argument(
        "--cycs_pcm", type=cycles, default=4, help="recursive cycles after the initialising pass: the paper's T - 1"
    )


METHOD_FLAGS = {
    "sacl": [add_sacl_flags],
    "sspl": [add_sspl_flags],
    "sspl_pcm": [add_sspl_flags, add_pcm_flags],
}


def chosen_method(argv, default="sacl"):
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_method_flag(parser)
    parser.set_defaults(method=default)
    return parser.parse_known_args(argv)[0].method


def refuse_foreign_flags(method, unknown, build):
    """Raises ValueError where one of the flags that a method's parser did not know is another method's.

    build: method -> parser.
    """
    for other in METHODS:
        left = build(other).parse_known_args(unknown)[1]
        for flag in unknown:
            if flag.startswith("--") and flag not in left:
                raise ValueError(f"{flag.partition('=')[0]} belongs to --method {other}, not to {method}: leave it out")


def add_method_flag(parser):
    """The flag of main.py and test.py that says what is trained or tested."""
    parser.add_argument("--method", choices=METHODS, default="sacl")


def add_data_flags(parser):
    """Flags of main.py and test.py about the data."""
    group = parser.add_argument_group("data")
    add_data_path(group)
    group.add_argument("--imgSize", type=image_size, default=224, help="side of the network's input, a multiple of 16")


def add_data_path(parser):
    parser.add_argument(
        "--data_path", default=data_path, help="folder that holds SoundNet_Flickr, VGG-Sound, Custom, Demo"
    )


def add_machine_flags(parser):
    """Flags of main.py and test.py about the machine."""
    group = parser.add_argument_group("machine")
    group.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    group.add_argument("--batch_size_per_gpu", type=positive, default=64, help="samples a step and process")
    group.add_argument("--workers", type=int, default=min(8, os.cpu_count()), help="processes that load data")
    group.add_argument(
        "--collective_minutes",
        type=positive_number,
        default=10,
        metavar="MINUTES",
        help="how long a process waits for another one that makes no progress",
    )


def add_weight_flags(parser, method, folder=None):
    """Flags of main.py and test.py for trained networks, by default those in `folder`, if any."""
    group = parser.add_argument_group("trained weights")
    for part in LOCALISING_PARTS[method]:
        default = folder and f"{folder}/{part}_best.pth"
        group.add_argument(f"--weights_{part}", default=default, help=f"{part}_best.pth of a run, or the authors'")


def trained_settings(folder):
    """The arguments of the run of main.py in a folder, {} where it holds none (published weights, say)."""
    settings = Path(folder) / "args.json"
    return json.loads(settings.read_text())["arguments"] if settings.is_file() else {}


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def positive_number(text):
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def cycles(text):
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative: 0 is the initialising pass alone")
    return value


def fraction(text):
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def image_size(text):
    value = positive(text)
    if value % 16:
        raise argparse.ArgumentTypeError(f"{text} is not a multiple of 16, the frame network's stride")
    return value
