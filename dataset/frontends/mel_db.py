"""Mel spectrogram in decibels of SSL-TIE (Liu et al., "Exploiting transformation invariance and equivariance for
self-supervised sound localisation", ACM Multimedia 2022)."""

import math
from functools import cache

import numpy as np
import torch

from dataset.media.audio import RATE

WINDOW, HOP = 512, 239  # samples
BANDS = 257  # 28 of them lie between two frequencies of the transform at 16 kHz, and are empty
FLOOR = 1e-10  # power, -100 dB


def mel_db(waveform: np.ndarray, rate: int = RATE) -> np.ndarray:
    """Power in 257 mel bands, in dB, without mean or deviation.

    Args:
        waveform: (n,) float, not rescaled. The authors' program gives it in [-1, 1], repeated until it lasts 10 s.
        rate: samples a second; the bands lie between 0 and rate / 2.

    Returns (1, 257, 1 + n // 239) float32: 670 columns for 10 s at 16 kHz.
    Raises ValueError for a sound of half a window or less, which cannot be mirrored at its ends.
    """
    waveform = np.asarray(waveform, np.float64)
    if len(waveform) <= WINDOW // 2:
        raise ValueError(f"a waveform of {len(waveform)} samples is too short: {WINDOW // 2 + 1} are the least")
    padded = np.pad(waveform, WINDOW // 2, mode="reflect")
    framed = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)  # periodic Hann
    power = np.abs(np.fft.rfft(framed * window)) ** 2 / (window**2).sum()
    return (10 * np.log10(np.maximum(power @ _mel_weights(rate), FLOOR))).astype(np.float32).T[None]


@cache
def _mel_weights(rate):
    """(WINDOW / 2 + 1, BANDS): triangles of height 1, straight over Hz, between corners that are even in HTK mel."""
    # In torch's float32, as torchaudio computes them: its rounding moves narrow bands by up to 2e-3 dB.
    frequencies = torch.linspace(0, rate / 2, WINDOW // 2 + 1)[:, None]
    corners = 700 * (10 ** (torch.linspace(0, 2595 * math.log10(1 + rate / 2 / 700), BANDS + 2) / 2595) - 1)
    lower, centre, upper = corners[:-2], corners[1:-1], corners[2:]
    rising, falling = (frequencies - lower) / (centre - lower), (upper - frequencies) / (upper - centre)
    return torch.minimum(rising, falling).clamp(min=0).numpy()
