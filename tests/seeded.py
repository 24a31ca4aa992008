"""The inputs and weights behind tests/golden/sspl.npz, made from their names: the same numbers on every machine."""

from math import prod
from zlib import crc32

import numpy as np
import torch


def array(name, shape, scale=1.0):
    """Normal numbers of deviation `scale`, float32."""
    return torch.from_numpy((scale * _generator(name).standard_normal(shape)).astype(np.float32))


def weights(prefix, shapes):
    """A state_dict of these shapes: batch norms near the identity, other layers near unit gain."""
    return {key: _weight(f"{prefix}/{key}", tuple(shape)) for key, shape in shapes.items()}


def _weight(name, shape):
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if name.endswith("running_mean"):
        return array(name, shape, 0.1)
    if name.endswith("running_var"):
        return torch.from_numpy((1 + 0.2 * _generator(name).random(shape)).astype(np.float32))
    if len(shape) > 1:
        return array(name, shape, (2 / prod(shape[1:])) ** 0.5)
    return 1 + array(name, shape, 0.1) if name.endswith("weight") else array(name, shape, 0.05)


def _generator(name):
    return np.random.default_rng(crc32(name.encode()))
