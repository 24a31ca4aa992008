"""Front ends: a sound as an audio network reads it."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from dataset.frontends.log_mel import log_mel_patches, scale
from dataset.frontends.mel_db import mel_db
from dataset.frontends.spectrogram import log_spectrogram

__all__ = ["FRONT_ENDS", "FrontEnd", "log_mel_patches", "log_spectrogram", "mel_db", "scale"]


class FrontEnd(NamedTuple):
    """How an audio network reads a sound.

    name: of its arrays on disk, h5py_train_<name>_*.h5, whose rows have no axes of length 1.
    seconds: of sound that it reads. shape: of what the network gets of one sound.
    compute: (seconds x 16000,) float32 waveform at 16 kHz, unscaled -> float32 array of that shape.
    """

    name: str
    seconds: float
    shape: tuple[int, ...]
    compute: Callable[[np.ndarray], np.ndarray]


def _scaled_log_mel(waveform):
    return log_mel_patches(scale(waveform))[:, None]


FRONT_ENDS = {
    # VGGish's log-mel patches of the scaled waveform, as SACL and SSPL read them.
    "log_mel": FrontEnd("spects", 3, (3, 1, 96, 64), _scaled_log_mel),
    # The log spectrogram of EZ-VSL, SLAVC and FNAC.
    "spectrogram": FrontEnd("spectrograms", 3, (1, 257, 200), log_spectrogram),
    # The same of 10 s, of LVS; and with a shorter hop, of SSLalign.
    "spectrogram_10s": FrontEnd("spectrograms_10s", 10, (1, 257, 671), log_spectrogram),
    "spectrogram_hop159": FrontEnd("spectrograms_hop159", 3, (1, 257, 299), partial(log_spectrogram, overlap=353)),
    # The mel spectrogram in dB of SSL-TIE.
    "mel_db": FrontEnd("mels", 10, (1, 257, 670), mel_db),
}
