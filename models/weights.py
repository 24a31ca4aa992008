"""Weights: where the published files are, verification, and reading without pickled code."""

import hashlib
import re
from pathlib import Path

import numpy as np
import torch

RESNET_URL = "https://download.pytorch.org/models/resnet18-5c106cde.pth"


VGG16_URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
VGGISH_URL = "https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth"
SSPL_URL = "a run of main.py --method sspl or sspl_pcm, or the authors' release at https://github.com/zjsong/SSPL"
SACL_URL = "a run of main.py, or the authors' release at https://github.com/zjsong/SACL"


# Published checkpoints also hold their scores, float64 numbers of NumPy 1 or 2.
NUMPY_NUMBERS = [
    (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),
    np._core.multiarray.scalar,
    np.dtype,
    np.dtypes.Float64DType,
]


def load(path, source="another run"):
    """Reads a checkpoint onto the CPU, tensors and plain values only (weights_only).

    source: where the file can be had, for the message. The first eight hex digits of the file's sha256 are checked
    where its name ends with them (name-1a2b3c4d.pth). Raises FileNotFoundError or ValueError naming the file.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name a file of weights, from {source}")
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: get it from {source}")
    stated = re.search(r"-([0-9a-f]{8})$", path.stem)
    if stated and not sha256(path).startswith(stated[1]):
        raise ValueError(
            f"{path} does not have the sha256 prefix {stated[1]} of its name: download it again from {source}"
        )
    try:
        with torch.serialization.safe_globals(NUMPY_NUMBERS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch passes on whatever the bytes of a file that is no checkpoint lead to
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if "weights_only" in reason:  # torch's advice is to run the file's code
            reason = "it is no file of torch.save, or holds more than tensors and plain values"
        raise ValueError(f"{path} is not a readable checkpoint ({reason}): get it again from {source}") from None


def sha256(path):
    """Hex digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_weights(network, path, source, unused=(), absent=(), renamed=("", "")):
    """Fills a network from a file.

    path: a state_dict, or a checkpoint that holds one under "model", "state_dict" or "model_state_dict"; its keys may
    begin with "module.", as DistributedDataParallel names them. Key prefixes in `unused` may be in the file and are
    ignored (None: all keys that the network does not have), those in `absent` may be missing and stay as they are; any
    other difference in keys or shapes is a ValueError. renamed: a prefix of the file's keys, and what it is called in
    the network.
    """
    state = _unwrapped(load(path, source))
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f"{path} is not a state_dict of tensors: get it from {source}")
    expected = network.state_dict()
    unused = [key for key in state if key not in expected] if unused is None else unused
    state = {
        renamed[1] + key.removeprefix(renamed[0]) if key.startswith(renamed[0]) else key: value
        for key, value in state.items()
        if not key.startswith(tuple(unused))
    }
    # Files older than torch 0.4.1, the published ResNet among them, lack BatchNorm's counters.
    absent = (*absent, *(key for key in expected if key.endswith("num_batches_tracked")))
    wrong = [f"{key} is missing" for key in expected if key not in state and not key.startswith(absent)]
    wrong += [f"{key} is unknown" for key in state if key not in expected]
    wrong += [
        f"{key} is {tuple(value.shape)}, not {tuple(expected[key].shape)}"
        for key, value in state.items()
        if key in expected and value.shape != expected[key].shape
    ]
    if wrong:
        raise ValueError(
            f"{path} does not fit {type(network).__name__} ({wrong[0]}, {len(wrong)} in all): get it from {source}"
        )
    network.load_state_dict(state, strict=False)


def _unwrapped(checkpoint):
    """The state_dict in a checkpoint, its keys without "module."; anything else as it is."""
    if not isinstance(checkpoint, dict):
        return checkpoint
    inside = (checkpoint.get(key) for key in ("model", "state_dict", "model_state_dict"))
    state = next((value for value in inside if isinstance(value, dict)), checkpoint)
    return {str(key).removeprefix("module."): value for key, value in state.items()}
