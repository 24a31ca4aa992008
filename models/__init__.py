"""The methods: METHODS is all that the data path, the training loop and the evaluation know of them.

A method is a module of this folder with build_model(args) and build_objective(args).

- Its model has forward(views, audio) -> outputs, nested lists or tuples of tensors with the batch first;
  localize(image, audio) -> cosine maps (B, h, w), in the steps encode_image, encode_sound and similarity, so that one
  image can be compared with several sounds, expanded to as many without a copy; parts() -> the networks by the names of
  their files; and parameter_groups(args) -> the optimizer's groups. A model may have begin_step(), called once before
  the forward passes of a step, of which --accumulate makes several.
- Its objective is called with those outputs and the batch, and returns the loss and a dict of Diagnostics.
"""

from importlib import import_module
from typing import NamedTuple


class Method(NamedTuple):
    """What the rest of the program may know of a method.

    module: where it is. (It is imported late: torchvision costs 1.6 s, which --help need not take.)
    front_end: how it reads sounds, a name in dataset.frontends.FRONT_ENDS.
    views: of a frame, 1 or 2. augmentation: of these, a name in dataset.augment.parameters.AUGMENTATIONS.
    regions: whether its loss reads region maps.
    parts: the networks that find sounds, <part>_best.pth; ("model",) where one file holds all.
    trained_with: flags that a test must share with the training run.
    retrieval_items: gallery of --retrieval; a method that reads the image again for each sound affords fewer.
    demo: settings for the demo set that differ from those of all methods.
    """

    module: str
    front_end: str = "log_mel"
    views: int = 2
    augmentation: str = "simsiam"
    regions: bool = False
    parts: tuple[str, ...] = ("frame", "sound")
    trained_with: tuple[str, ...] = ()
    retrieval_items: int = 1000
    demo: dict = {}  # noqa: RUF012  read only


METHODS = {
    # A higher temperature, a fast frame network (its batch norm bears it) and a slow sound network (it has none, and
    # wide layers: with a tenth more, all sounds soon look alike). One region (gridSize 1): which Felzenszwalb region
    # holds the similar cells means nothing as long as the similarity does, and what it picks by chance confirms itself
    # (docs/demo.md has the numbers).
    "sacl": Method(
        "models.sacl", regions=True, demo={"gridSize": 1, "tempD": 0.07, "lr_frame": 1e-3, "lr_sound": 4e-6}
    ),
    "sspl": Method("models.sspl", augmentation="crop_and_flip", trained_with=("backbone",)),
    # Four times the paper's rates, for which the set is small (docs/sspl.md).
    "sspl_pcm": Method(
        "models.sspl",
        augmentation="crop_and_flip",
        parts=("frame", "sound", "pcm"),
        trained_with=("backbone", "cycs_pcm"),
        retrieval_items=100,
        demo={"lr_head": 2e-4, "lr_rest": 1e-4},
    ),
    "ezvsl": Method(
        "models.ezvsl",
        "spectrogram",
        views=1,
        augmentation="crop_and_flip",
        parts=("model",),
        demo={"lr": 3e-4, "temperature": 0.07, "num_epoch": 6, "eval_epoch": 6},
    ),
    "slavc": Method(
        "models.slavc",
        "spectrogram",
        views=1,
        augmentation="crop_and_flip",
        parts=("model",),
        trained_with=("use_mom_eval",),
    ),
    "fnac": Method("models.fnac", "spectrogram", views=1, augmentation="crop_and_flip", parts=("model",)),
    "lvs": Method("models.lvs", "spectrogram_10s", views=1, augmentation="crop_and_flip", parts=("model",)),
    "ssltie": Method("models.ssltie", "mel_db", views=1, parts=("model",)),
    "sslalign": Method(
        "models.sslalign", "spectrogram_hop159", views=1, augmentation="crop_and_flip", parts=("model",)
    ),
}


def weights_argument(part: str) -> str:
    """The argument that names the file of a part: --weights where one file holds all, else --weights_<part>."""
    return "weights" if part == "model" else f"weights_{part}"


def build_model(args):
    """The model of args.method on the CPU, in float32, with the first weights that the arguments name.

    Raises FileNotFoundError or ValueError that says where to get a file.
    """
    return import_module(METHODS[args.method].module).build_model(args)


def build_objective(args):
    """The loss of args.method: objective(outputs, batch) -> scalar, dict of Diagnostics."""
    return import_module(METHODS[args.method].module).build_objective(args)
