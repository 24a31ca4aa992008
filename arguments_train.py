"""Flags of main.py. Edit the defaults here for your experiments."""

import argparse
import json
import os
import sys
from pathlib import Path

from dataset import BY_SIZE, default_trainset, exact_trainset, has_data, testset_of
from dataset.benchmarks import TEST_SETS
from dataset.storage.layout import TRAIN_FOLDERS
from models import METHODS, weights_argument

data_path = "./Datasets"
weights_resnet_imgnet = "./models/resnet/resnet18-5c106cde.pth"
weights_vgg16 = "./models/vgg16/vgg16-397923af.pth"
weights_vggish = "./models/torchvggish/torchvggish/vggish_pretrained/vggish-10086976.pth"

# What `python main.py` runs with where there is no dataset: small enough to learn on two CPU cores in minutes. A method
# has settings of its own beside these (models/__init__.py). They differ from the published ones because nothing is
# pre-trained.
DEMO = {
    "train_from_scratch": 1,
    "imgSize": 160,
    "batch_size_per_gpu": 16,  # small: early in training, more steps help more than larger batches
    "num_epoch": 4,
    "eval_epoch": 4,
    "lr_schedule": "cosine",
    "workers": 1,
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

IMAGE_SIZE, BATCH_SIZE = "side of the network's input, a multiple of 16", "samples per step in each process"

RENAMED = {}  # flags of earlier versions: what to use instead


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """All settings of a run, complete: what depends on the method or the training set is filled in here.

    Raises ValueError for a flag that belongs to another method, and for flags that exclude each other.
    """
    argv = sys.argv[1:] if argv is None else argv
    known = peek(argv, "method", "data_path", "trainset", "num_train", "init_from")
    method = checked_method(known.method or "sacl")
    folder = checked_data_path(known.data_path, known.trainset)
    trainset = known.trainset or default_trainset(folder)
    num_train = int(known.num_train) if (known.num_train or "").isdecimal() else None
    parser = build_parser(method, trainset, num_train)
    if known.init_from:
        parser.set_defaults(backbone=trained_settings(known.init_from).get("backbone", "resnet18"))
    args = parser.parse_args(argv)
    if args.batch_size_per_gpu % args.accumulate:
        parser.error(f"--accumulate {args.accumulate} does not divide a batch of {args.batch_size_per_gpu}")
    if getattr(args, "fine_tune", 0) and args.cache_features != "none":
        raise ValueError("--cache_features stores what frozen encoders compute: use it or --fine_tune 1, not both")
    return args


def build_parser(method: str, trainset: str = "flickr", num_train: int | None = None) -> argparse.ArgumentParser:
    """The flags of a method on a training set, with the defaults that this set has."""
    parser = argparse.ArgumentParser(
        description="Train a method of visual sound source localisation.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog=f"These are the flags of --method {method}; --method NAME --help lists those of another.",
        allow_abbrev=False,
    )
    add_method_flag(parser, method)
    machine = add_machine_flags(parser)
    machine.add_argument("--compile", action="store_true", help="torch.compile the networks: a slower start")
    machine.add_argument(
        "--cache",
        choices=["auto", "none", "ram", "device"],
        default="auto",
        help="keep the set, pixels as uint8, in memory or on the device; auto: where half of what is free suffices",
    )
    first = add_weight_flags(parser, method)
    first.add_argument("--weights_resnet_imgnet", default=weights_resnet_imgnet, help="ImageNet weights of ResNet-18")

    run = add_free_group(parser, "run")
    run.add_argument("--ckpt", default=f"./runs/{method}_{trainset}", help="folder of the log, checkpoints, pictures")
    run.add_argument("--resume", action="store_true", help="go on with the run in --ckpt from its last.pth")
    run.add_argument("--force_resume", action="store_true", help="--resume although settings of the run have changed")
    run.add_argument("--save_minutes", type=not_negative, default=10, help="minutes between saves within an epoch")
    run.add_argument(
        "--on_nan", choices=["stop", "skip"], default="stop", help="what to do with a step whose gradient is not finite"
    )
    run.add_argument("--eval_epoch", type=positive, default=1, help="evaluate every so many epochs, and after the last")
    run.add_argument(
        "--eval_shuffled",
        choices=["each", "last", "none"],
        default="each",
        help="also evaluate with other items' sounds: at each evaluation, after the last epoch, or never",
    )
    run.add_argument("--num_visual", type=natural, default=20, help="test items to draw at the end")

    data = parser.add_argument_group("training data")
    data.add_argument("--trainset", choices=[*BY_SIZE, *TRAIN_FOLDERS], default=trainset, help="what is trained on")
    data.add_argument("--testset", choices=TEST_SETS, default=testset_of(trainset), help="scored while training")
    data.add_argument(
        "--valset",
        choices=[*TEST_SETS, "none", "auto"],
        default="none" if trainset == "demo" else "auto",
        help="selects the best checkpoint; none: select on the test set, as in the papers; auto: flickr_val where the "
        "data folder has it, else none",
    )
    data.add_argument("--imgSize", type=image_size, default=224, help=IMAGE_SIZE)
    data.add_argument("--seed", type=seed, default=12345, help="of weights, order, augmentation and shuffled sounds")
    data.add_argument("--batch_size_per_gpu", type=positive, default=64, help=BATCH_SIZE)
    data.add_argument("--num_train", type=positive, help="train on the first NUM_TRAIN rows; None: all")
    data.add_argument(
        "--augment",
        choices=["auto", "cpu", "device"],
        default="auto",
        help="who makes the views: the loader's workers, or the device for whole batches (auto: a GPU does)",
    )

    optimisation = parser.add_argument_group("optimisation")
    optimisation.add_argument(
        "--train_from_scratch", type=int, default=0, choices=[0, 1], help="1: random first weights"
    )
    optimisation.add_argument("--num_epoch", type=positive, default=100, help="epochs")
    optimisation.add_argument("--optimizer", choices=["sgd", "adam", "adamw"], default="adamw", help="of torch.optim")
    optimisation.add_argument(
        "--lr_schedule", choices=["constant", "cosine"], default="constant", help="cosine: to 0 at the last epoch"
    )
    optimisation.add_argument("--beta1", type=fraction, default=0.9, help="momentum of sgd, beta1 of adam and adamw")
    optimisation.add_argument("--weight_decay", type=not_negative, default=1e-4, help="decoupled in adamw")
    optimisation.add_argument(
        "--accumulate",
        type=positive,
        default=1,
        help="split each batch into so many parts, to save memory: the loss is still the whole batch's, batch norm "
        "uses the statistics of each part",
    )
    optimisation.add_argument(
        "--precision",
        choices=["auto", "float32", "bfloat16"],
        default="auto",
        help="auto: bfloat16 where the hardware gains",
    )
    # Of methods without negatives; and how the method reads sounds.
    parser.set_defaults(local_negatives=False, audio_masks="none", front_end=METHODS[method].front_end)
    METHOD_FLAGS[method](parser, exact_trainset(trainset, num_train))
    if trainset == "demo":
        parser.set_defaults(**DEMO | METHODS[method].demo)
    refuse_flags(parser, foreign_flags(parser, method, METHOD_FLAGS) | RENAMED)
    parser.set_defaults(resume_may_change=free_flags(parser))
    return parser


def add_sacl_flags(parser, trainset):
    add_vggish_flag(add_free_group(parser, "SACL, first weights"))
    group = parser.add_argument_group("SACL")
    group.add_argument(
        "--gridSize", type=int, default=-1, choices=[-1, 1, 2, 4, 8], help="regions: -1 Felzenszwalb, else a grid"
    )
    group.add_argument("--tempD", type=above_zero, default=0.005, help="temperature of the contrastive loss")
    group.add_argument(
        "--ratio_retain_sim",
        type=fraction,
        default=0.5,
        help="fraction of cells DROPPED from the mask, despite its name",
    )
    group.add_argument("--ratio_neg", type=fraction, default=0.75, help="share of the batch kept as negatives")
    group.add_argument(
        "--masked_max",
        choices=["zero", "exclude"],
        default="zero",
        help="cells outside the mask: zeros in the maximum (published), or left out",
    )
    add_negatives_flag(group)
    group.add_argument("--lr_frame", type=above_zero, default=2e-4, help="of the frame network (paper: 1e-4 for 144k)")
    group.add_argument("--lr_sound", type=above_zero, default=2e-4, help="of the sound network (paper: 1e-4 for 144k)")


def add_sspl_flags(parser, trainset, method="sspl"):
    group = parser.add_argument_group("SSPL")
    first = add_free_group(parser, "SSPL, first weights")
    add_vggish_flag(first)
    first.add_argument("--weights_vgg16", default=weights_vgg16, help="ImageNet weights of VGG16")
    first.add_argument("--weights_ssl_head", help="ssl_head_best.pth, with --weights_frame and --weights_sound")
    add_encoder_flag(group)
    group.add_argument(
        "--init_from", metavar="RUN", help="folder of a run whose frame and sound networks to start with"
    )
    group.add_argument("--fine_tune", type=int, default=0, choices=[0, 1], help="1: train the encoders as well")
    group.add_argument(
        "--cache_features",
        choices=["none", "sound", "all"],
        default="none",
        help="compute once, and store beside the data: VGGish's features (nothing else changes); all: the frame "
        "network's too, of the unaugmented frame, so that both views of it are the same",
    )
    lr_head, lr_rest = SSPL_RATES[method].get(trainset, SSPL_RATES[method]["flickr10k"])
    group.add_argument("--lr_head", type=above_zero, default=lr_head, help="of the head (lr1 of the paper)")
    group.add_argument("--lr_rest", type=above_zero, default=lr_rest, help="of all else (lr2 of the paper)")
    parser.set_defaults(batch_size_per_gpu=128)  # published: on each of two GPUs


def add_pcm_flags(parser, trainset):
    add_sspl_flags(parser, trainset, "sspl_pcm")
    add_cycles_flag(parser.add_argument_group("predictive coding module"))
    parser.set_defaults(num_epoch=20)


def add_ezvsl_flags(parser, trainset):
    group = parser.add_argument_group("EZ-VSL")
    add_contrast_flags(group)
    parser.set_defaults(optimizer="adam", weight_decay=0.0, batch_size_per_gpu=128, num_epoch=20)


def add_slavc_flags(parser, trainset):
    group = parser.add_argument_group("SLAVC")
    add_contrast_flags(group)
    add_dropout_flags(group)
    group.add_argument("--slavc_momentum", type=fraction, default=0.999, help="share of a target weight a step keeps")
    add_momentum_flag(group, default=1)
    parser.set_defaults(optimizer="adam", weight_decay=0.0, batch_size_per_gpu=128, num_epoch=20)


def add_momentum_flag(group, default):
    group.add_argument(
        "--use_mom_eval", type=int, choices=[0, 1], default=default, help="1: localise with the momentum copy"
    )


def add_fnac_flags(parser, trainset):
    group = parser.add_argument_group("FNAC")
    add_contrast_flags(group)
    add_dropout_flags(group)
    group.add_argument("--fnac_weight", type=not_negative, default=100.0, help="of the false-negative terms")
    group.add_argument("--warmup", type=natural, default=5, help="epochs without these terms")
    group.add_argument(
        "--audio_masks",
        choices=["corrected", "published", "none"],
        default="corrected",
        help="bands of spectrograms set to 0; published: the places of both kinds are drawn from each other's range",
    )
    parser.set_defaults(optimizer="adam", weight_decay=1e-4, batch_size_per_gpu=256, num_epoch=30)


def add_lvs_flags(parser, trainset, title="LVS"):
    group = parser.add_argument_group(title)
    add_rate_flag(group)
    group.add_argument(
        "--published_diagonal",
        action="store_true",
        help="the authors' loss: a clip's own sound is dropped from its negatives by a factor of -99, and its "
        "background may be 0 / 0",
    )
    add_negatives_flag(group)
    # SSL-TIE's settings; those of LVS were not published.
    parser.set_defaults(optimizer="adam", weight_decay=1e-4, batch_size_per_gpu=32, num_epoch=100)


def add_ssltie_flags(parser, trainset):
    add_lvs_flags(parser, trainset, "SSL-TIE")


def add_no_flags(parser, trainset):
    """Of SSLalign, which is not trained."""


METHOD_FLAGS = {
    "sacl": add_sacl_flags,
    "sspl": add_sspl_flags,
    "sspl_pcm": add_pcm_flags,
    "ezvsl": add_ezvsl_flags,
    "slavc": add_slavc_flags,
    "fnac": add_fnac_flags,
    "lvs": add_lvs_flags,
    "ssltie": add_ssltie_flags,
    "sslalign": add_no_flags,
}


# Flags that several methods, or main.py and test.py, share.


def add_vggish_flag(group):
    group.add_argument("--weights_vggish", default=weights_vggish, help="AudioSet weights of VGGish")


def add_negatives_flag(group):
    group.add_argument(
        "--local_negatives", action="store_true", help="negatives and batch norm per process (published)"
    )


def add_rate_flag(group):
    group.add_argument("--lr", type=above_zero, default=1e-4, help="learning rate of both networks")


def add_contrast_flags(group):
    add_rate_flag(group)
    group.add_argument("--temperature", type=above_zero, default=0.03, help="of the contrastive loss")
    add_negatives_flag(group)


def add_dropout_flags(group):
    group.add_argument("--dropout_img", type=fraction, default=0.9, help="of the visual trunk's features")
    group.add_argument("--dropout_aud", type=fraction, default=0.0, help="of the audio trunk's features")


def add_encoder_flag(group):
    group.add_argument("--backbone", choices=["vgg16", "resnet18"], default="vgg16", help="frame network")


def add_cycles_flag(group):
    group.add_argument(
        "--cycs_pcm", type=natural, default=4, help="recursive cycles after the initialising pass: the paper's T - 1"
    )


def add_method_flag(parser, method):
    parser.add_argument("--method", choices=METHODS, default=method, help="what is trained or tested")


def add_data_path(group):
    group.add_argument(
        "--data_path", default=data_path, help="folder that holds SoundNet_Flickr, VGG-Sound, Custom, Demo"
    )


def add_machine_flags(parser):
    group = add_free_group(parser, "machine")
    add_data_path(group)
    group.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: CUDA where it works")
    group.add_argument("--workers", type=natural, default=min(8, os.cpu_count() or 1), help="processes that load data")
    group.add_argument(
        "--collective_minutes",
        type=above_zero,
        default=10,
        metavar="MINUTES",
        help="how long a process waits for another one that makes no progress",
    )
    return group


def add_weight_flags(parser, method, folder=None):
    """Flags of trained networks, by default those in `folder`, if any."""
    group = add_free_group(parser, "trained weights")
    for part in METHODS[method].parts:
        default = folder and f"{folder}/{part}_best.pth"
        flag = f"--{weights_argument(part)}"
        group.add_argument(flag, default=default, help=f"{part}_best.pth of a run, or the authors'")
    return group


# Reading the command line.


def add_free_group(parser, title):
    """A group of flags that do not change the final weights, so that --resume accepts other values."""
    group = parser.add_argument_group(title)
    group.affects_weights = False
    return group


def free_flags(parser) -> list[str]:
    """The names of the flags in free groups."""
    groups = [group for group in parser._action_groups if not getattr(group, "affects_weights", True)]
    return sorted(action.dest for group in groups for action in group._group_actions)


def peek(argv, *names) -> argparse.Namespace:
    """The flags of these names on a command line, as text, None where they are not given: others' defaults depend on
    them."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in names:
        parser.add_argument(f"--{name}", nargs="?")
    return parser.parse_known_args(argv)[0]


def checked_method(name: str) -> str:
    """Raises ValueError for a name that is none of METHODS."""
    if name not in METHODS:
        raise ValueError(f"--method {name} is unknown: choose from {', '.join(METHODS)}")
    return name


def checked_data_path(given: str | None, name: str | None) -> str:
    """The data folder; given: None where the user named none; name: the set that the user named, or None.

    Raises ValueError where the user named a folder that is missing, or that holds no dataset and no set was named.
    """
    if given is None:
        return data_path
    if not Path(given).is_dir():
        raise ValueError(f"--data_path {given} is not a folder: name the folder that holds the datasets")
    if name is None and not has_data(given) and not (Path(given) / "Demo").is_dir():
        raise ValueError(
            f"--data_path {given} holds none of SoundNet_Flickr, VGG-Sound, Custom, Demo: name the folder that does "
            "(--trainset demo generates the demo set there)"
        )
    return given


class RefusedFlag(argparse.Action):
    """A flag that is known, but not to be used here: const says why."""

    def __call__(self, parser, namespace, values, option_string=None):
        raise ValueError(f"{option_string} {self.const}")


def refuse_flags(parser, reasons: dict[str, str]):
    """Adds flags, hidden from --help, whose use is an error with a reason."""
    hidden = {"dest": "refused", "default": argparse.SUPPRESS, "help": argparse.SUPPRESS}
    for flag, reason in reasons.items():
        parser.add_argument(flag, action=RefusedFlag, nargs="*", const=reason, **hidden)


def foreign_flags(parser, method, method_flags) -> dict[str, str]:
    """The flags of other methods that this method's parser does not have, each with the reason to refuse it."""
    own, foreign = set(parser._option_string_actions), {}
    for other in METHODS:
        theirs = argparse.ArgumentParser(add_help=False)
        add_weight_flags(theirs, other)
        method_flags[other](theirs, "")
        for flag in theirs._option_string_actions:
            if flag not in own:
                foreign.setdefault(flag, []).append(other)
    return {
        flag: f"belongs to --method {' or '.join(others)}, not to {method}: name that method, or leave the flag out"
        for flag, others in foreign.items()
    }


def trained_settings(folder) -> dict:
    """The arguments of the run of main.py in a folder, {} where it holds none (published weights, say)."""
    settings = Path(folder) / "args.json"
    if not settings.is_file():
        return {}
    try:
        return {**json.loads(settings.read_text())["arguments"]}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{settings} holds no settings of a run ({error!r:.80}): restore or remove it") from None


def positive(text):
    return _whole_number(text, 1)


def natural(text):
    return _whole_number(text, 0)


def seed(text):
    value = natural(text)
    if value >= 2**32 - 2**16:  # each process adds its rank
        raise argparse.ArgumentTypeError(f"{text} is too large for a seed")
    return value


def _whole_number(text, least):
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from {least} on")
    return int(text)


def not_negative(text):
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def above_zero(text):
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
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
