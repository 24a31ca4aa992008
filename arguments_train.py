"""Flags of main.py. Edit the defaults here for your experiments."""

import argparse
import os

from dataset import TEST_SETS, TRAIN_FOLDERS, default_valset, has_data, testset_of
from models import METHODS

data_path = "./Datasets"
weights_resnet_imgnet = "./models/resnet/resnet18-5c106cde.pth"
weights_vggish = "./models/torchvggish/torchvggish/vggish_pretrained/vggish-10086976.pth"

# What `python main.py` runs with where there is no data set: small enough to learn from scratch on two CPU cores in
# minutes. All that differs from the published settings differs because nothing is pre-trained:
# - a higher temperature, a fast frame network (its batch norm bears it) and a slow sound network (it has none, and wide
#   layers: a tenth more, and all sounds soon look alike);
# - one region (gridSize 1): which Felzenszwalb region holds the similar cells means nothing as long as the similarity
#   does, and what it picks by chance confirms itself (see docs/demo.md for the numbers);
# - small batches: so early, the number of steps counts more than what each of them sees.
DEMO = {
    "testset": "demo",
    "train_from_scratch": 1,
    "imgSize": 160,
    "gridSize": 1,
    "tempD": 0.07,
    "batch_size_per_gpu": 16,
    "num_epoch": 4,
    "eval_epoch": 4,
    "lr_frame": 1e-3,
    "lr_sound": 4e-6,
    "lr_schedule": "cosine",
    "workers": 1,
}


def parse_args(argv=None):
    """All settings of a run, complete: what depends on the training set (DEMO, test set, folder) is filled in here."""
    parser = build_parser()
    args = parser.parse_known_args(argv)[0]
    trainset = args.trainset or ("flickr" if has_data(args.data_path) else "demo")
    valset = "none" if trainset == "demo" else default_valset(args)
    parser.set_defaults(trainset=trainset, testset=testset_of(trainset), valset=valset, ckpt=f"./runs/sacl_{trainset}")
    if trainset == "demo":
        parser.set_defaults(**DEMO)
    args = parser.parse_args(argv)
    if args.batch_size_per_gpu % args.accumulate:
        parser.error(f"--accumulate {args.accumulate} does not divide a batch of {args.batch_size_per_gpu}")
    return args


def build_parser():
    parser = argparse.ArgumentParser(
        description="Train SACL, semantic-aware contrastive learning for visual sound source localisation.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_method_flag(parser)
    add_data_flags(parser)
    add_machine_flags(parser)
    add_weight_flags(parser)

    run = parser.add_argument_group("run")
    run.add_argument("--ckpt", help="folder of this run's log, checkpoints and pictures (default: runs/sacl_TRAINSET)")
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
        "--trainset", choices=[*TRAIN_FOLDERS], help="default: flickr, or demo where --data_path holds no data set"
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
        "--gridSize", type=int, default=-1, choices=[-1, 1, 2, 4, 8], help="regions: -1 Felzenszwalb, else a grid"
    )
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

    loss = parser.add_argument_group("loss")
    loss.add_argument("--tempD", type=float, default=0.005, help="temperature of the contrastive loss")
    loss.add_argument(
        "--ratio_retain_sim", type=fraction, default=0.5, help="fraction of similarity cells DROPPED from the mask"
    )
    loss.add_argument("--ratio_neg", type=fraction, default=0.75, help="share of the batch kept as negatives")
    loss.add_argument(
        "--masked_max",
        choices=["zero", "exclude"],
        default="zero",
        help="cells outside the mask: published, or left out",
    )
    loss.add_argument("--local_negatives", action="store_true", help="negatives and batch norm per process (published)")

    optimisation = parser.add_argument_group("optimisation")
    optimisation.add_argument("--num_epoch", type=positive, default=100)
    optimisation.add_argument("--optimizer", choices=["sgd", "adam", "adamw"], default="adamw")
    optimisation.add_argument(
        "--lr_frame", type=float, default=2e-4, help="of the frame network (the paper: 1e-4 for 144k)"
    )
    optimisation.add_argument(
        "--lr_sound", type=float, default=2e-4, help="of the sound network (the paper: 1e-4 for 144k)"
    )
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
    return parser


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


def add_weight_flags(parser, frame=None, sound=None):
    """Flags of main.py and test.py for a trained pair of networks."""
    group = parser.add_argument_group("trained weights")
    group.add_argument("--weights_frame", default=frame, help="frame_best.pth of a SACL run, or the authors'")
    group.add_argument("--weights_sound", default=sound, help="sound_best.pth of the same run")


def positive(text):
    value = int(text)
    if value < 1:
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
