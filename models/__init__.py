"""build_model, build_objective: from the arguments to a network with its first weights, and to what it is trained by.

A method is a module of this folder with these two functions. Its model has forward(views, spect) -> outputs;
localize(image, spect) -> cosine maps, in the steps encode_image, encode_sound and similarity, so that one image can be
asked about several sounds, expanded to as many without a copy; parts() -> the networks by the names of their files; and
parameter_groups(args) -> the optimizer's groups. Its objective is called with those outputs and the views' region maps,
and has signs, scalar tensors by name that say how healthy the last batch was (utils/training/health.py knows their
limits). The training loop and the evaluation know no more of it.
"""

from models import sacl, sspl

METHODS = {"sacl": sacl, "sspl": sspl, "sspl_pcm": sspl}

# The networks that a method finds sounds with: <part>_best.pth, read through --weights_<part>.
LOCALISING_PARTS = {"sacl": ["frame", "sound"], "sspl": ["frame", "sound"], "sspl_pcm": ["frame", "sound", "pcm"]}


def build_model(args):
    """The model of args.method on the CPU, in float32, with the first weights that the arguments name.

    Raises FileNotFoundError or ValueError that says where to get a file.
    """
    return METHODS[args.method].build_model(args)


def build_objective(args):
    """The loss of args.method: objective(outputs, regions) -> scalar."""
    return METHODS[args.method].build_objective(args)
