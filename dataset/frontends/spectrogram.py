"""Log spectrogram of LVS (Chen et al., CVPR 2021), EZ-VSL, SLAVC, FNAC and SSLalign."""

import numpy as np

from dataset.media.audio import RATE

WINDOW = 512  # samples, 257 frequencies
LOG_OFFSET = 1e-7
SCALE = 12  # the authors divide the logarithm by a fixed deviation, with a mean of 0


def log_spectrogram(waveform: np.ndarray, rate: int = RATE, overlap: int = 274) -> np.ndarray:
    """Log power spectral density of a sound, divided by 12.

    Args:
        waveform: (n,) float, not rescaled. The authors' programs give it in [-1, 1].
        rate: samples a second; the density depends on it.
        overlap: samples that neighbouring windows share, 274 (hop 238) or in SSLalign 353 (hop 159).

    Returns (1, 257, T) float32, T = (n - overlap) // (512 - overlap): 200 for 3 s, 671 for 10 s at 16 kHz.
    Raises ValueError for a sound shorter than one window.
    """
    from scipy.signal import spectrogram  # here, because its import takes 0.7 s

    waveform = np.asarray(waveform, np.float64)
    if len(waveform) < WINDOW:
        raise ValueError(f"a waveform of {len(waveform)} samples is shorter than one window ({WINDOW} samples)")
    # SciPy's defaults are part of the method: a Tukey window (0.25), the mean of each window removed, no padding.
    _, _, density = spectrogram(waveform, rate, nperseg=WINDOW, noverlap=overlap)
    return (np.log(density + LOG_OFFSET) / SCALE).astype(np.float32)[None]
