"""What the tests of LVS, SSL-TIE and SSLalign share: their published values, and the sounds behind them."""

import json
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).parent / "golden"
STORED = Path(__file__).parents[2] / "shared" / "golden" / "related"  # the exact sounds, too large for the repository
SHAPES = json.loads((FOLDER / "lvs_state_dict_shapes.json").read_text())


def stored_sounds(name):
    """The network's inputs (4, 1, 257, T) of a file of golden values, or None where it is not at hand."""
    file = STORED / f"{name}.npz"
    return torch.from_numpy(np.load(file)["e2e/aud"]) if file.is_file() else None


def numbers_of(gradient):
    """What the golden values keep of a gradient."""
    gradient = gradient.flatten()
    return torch.stack([gradient.norm(), gradient.abs().mean(), gradient.abs().max(), *gradient[:5]])


def masks(golden, name):
    """Packed masks -> (n, 224, 224) bool."""
    return np.unpackbits(golden[name], axis=1).reshape(-1, 224, 224).astype(bool)


def above_median(heat):
    """The pixels of maps (n, 224, 224) above their median, as these methods' programs take them."""
    return heat > np.sort(heat.reshape(len(heat), -1))[:, 25088, None, None]
