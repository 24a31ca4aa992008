"""VGGish's log-mel patches (Hershey et al., "CNN architectures for large-scale audio classification", ICASSP 2017)."""

from functools import cache

import numpy as np

from dataset.media.audio import RATE

WINDOW, HOP, FFT = 400, 160, 512  # 25 ms, 10 ms, samples
BANDS, LOWEST, HIGHEST = 64, 125.0, 7500.0  # mel bands, Hz
PATCH = 96  # frames a patch: 0.96 s
LOG_OFFSET = 0.01


def scale(waveform: np.ndarray) -> np.ndarray:
    """Stretches a waveform (n,) to about [-1, 1], as SSPL and SACL do before the log-mel patches.

    The offset of 0.001 keeps silence finite (it becomes the constant -1). Returns a new float32 array.
    """
    waveform = np.asarray(waveform, np.float32)
    waveform = waveform - waveform.min()
    return (waveform / (waveform.max() + np.float32(1e-3)) - np.float32(0.5)) * np.float32(2)


def log_mel_patches(waveform: np.ndarray) -> np.ndarray:
    """VGGish's input: (n,) float waveform at 16 kHz -> (S, 96, 64) float32 log-mel patches of 0.96 s.

    Samples after the last whole patch are dropped, S = 3 for a 3 s clip. Raises ValueError below one patch.
    """
    waveform = np.asarray(waveform, np.float64)
    frames = 1 + (len(waveform) - WINDOW) // HOP
    patches = frames // PATCH if len(waveform) >= WINDOW else 0
    if patches == 0:
        raise ValueError(f"a waveform of {len(waveform)} samples is shorter than one log-mel patch (0.975 s at 16 kHz)")
    framed = np.lib.stride_tricks.sliding_window_view(waveform, WINDOW)[::HOP][: patches * PATCH]
    magnitude = np.abs(np.fft.rfft(framed * _window(), FFT))
    log_mel = np.log(magnitude @ _mel_weights() + LOG_OFFSET)
    return log_mel.reshape(patches, PATCH, BANDS).astype(np.float32)


@cache
def _window():
    """Periodic Hann window (WINDOW,)."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)


@cache
def _mel_weights():
    """(FFT / 2 + 1, BANDS): triangles of equal width on the HTK mel scale, over magnitudes."""

    def mel(hertz):
        return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)

    bins = mel(np.linspace(0, RATE / 2, FFT // 2 + 1))[:, None]
    edges = np.linspace(mel(LOWEST), mel(HIGHEST), BANDS + 2)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    weights = np.maximum(0, np.minimum((bins - lower) / (centre - lower), (upper - bins) / (upper - centre)))
    weights[0] = 0  # the constant component is left out
    return weights
