"""Inputs and weights behind the golden values, made from their names: the same numbers on every machine."""

from math import prod
from zlib import crc32

import numpy as np
import torch
from scipy.signal import spectrogram


def array(name, shape, scale=1.0):
    """Normal numbers of deviation `scale`, float32."""
    return torch.from_numpy((scale * rng(name).standard_normal(shape)).astype(np.float32))


def weights(prefix, shapes):
    """A state_dict of these shapes: batch norms near the identity, other layers near unit gain."""
    return {key: _weight(f"{prefix}/{key}", tuple(shape)) for key, shape in shapes.items()}


def _weight(name, shape):
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if name.endswith("running_mean"):
        return array(name, shape, 0.1)
    if name.endswith("running_var"):
        return torch.from_numpy((1 + 0.2 * rng(name).random(shape)).astype(np.float32))
    if len(shape) > 1:
        return array(name, shape, (2 / prod(shape[1:])) ** 0.5)
    return 1 + array(name, shape, 0.1) if name.endswith("weight") else array(name, shape, 0.05)


def rng(name):
    """NumPy's random generator of a name."""
    return np.random.default_rng(crc32(name.encode()))


def waveform(name, n=48000, rate=16000):
    """A chirp, a tone and noise in [-1, 1], silent at first: (n,) float32."""
    g, t = rng(name), np.arange(n) / rate
    low, high = g.uniform(80, 500), g.uniform(1000, 6000)
    sound = np.sin(2 * np.pi * (low * t + (high - low) * t**2 / (2 * n / rate)))
    sound += 0.5 * np.sin(2 * np.pi * g.uniform(100, 3000) * t) + 0.2 * g.standard_normal(n)
    sound[: n // 10] = 0
    return (sound / np.abs(sound).max()).astype(np.float32)


def sim_maps(name, n, size=14):
    """Smooth maps, (n, size, size) float32 in about [-1, 1]."""
    g, maps = rng(name), np.zeros((n, size, size))
    y, x = np.mgrid[:size, :size]
    for values in maps:
        for _ in range(3):
            (cy, cx), width = g.uniform(0, size, 2), g.uniform(1.5, 5)
            values += g.uniform(-0.3, 1) * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * width**2))
        values += 0.05 * g.standard_normal((size, size))
    return maps.astype(np.float32)


def images(name, n=4):
    """Inputs of a frame network, (n, 3, 224, 224) float32."""
    smooth = 3 * sim_maps(name, 3 * n, 224).reshape(n, 3, 224, 224)
    return torch.from_numpy(smooth) + 0.5 * array(f"{name}/noise", (n, 3, 224, 224))


def spectrograms(prefix, n=4):
    """The authors' log spectrograms of n sounds of 3 s, (n, 1, 257, 200), which SciPy computes in float32."""
    sounds = np.stack([waveform(f"{prefix}/wav{i}") for i in range(n)])
    density = spectrogram(sounds, 16000, nperseg=512, noverlap=274)[2]
    return torch.from_numpy((np.log(density + 1e-7) / 12).astype(np.float32)[:, None])


def inputs(prefix, golden):
    """Four images (4, 3, 224, 224) and log spectrograms (4, 1, 257, 200), the same as behind the golden values."""
    made = images(f"{prefix}/img"), spectrograms(prefix)
    assert_near(made[0].flatten()[::2003], golden["e2e/img__s2003"], 1e-6)
    assert_near(made[1].flatten()[::2003], golden["e2e/aud__s2003"], 1e-5)
    return made


def assert_near(found, expected, tolerance):
    """Agreement relative to the largest expected value."""
    found, expected = (np.asarray(torch.as_tensor(values).detach()) for values in (found, expected))
    assert found.shape == expected.shape
    difference = np.abs(found - expected).max()
    assert difference <= tolerance * np.abs(expected).max(), difference / np.abs(expected).max()
