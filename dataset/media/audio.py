"""Sound files -> waveforms at 16 kHz."""

from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np

RATE = 16000  # samples a second, VGGish's
SECONDS = 3
SAMPLES = RATE * SECONDS
SHORTFALL = 0.5  # seconds by which a complete sound may be shorter than its file says
ESTIMATED = ("mp3", "aac")  # formats without a length: FFmpeg estimates it from the bit rate of the first frames
SOUND_FORMATS = (".wav", ".mp3", ".flac", ".ogg", ".m4a")


class NoAudioTrack(ValueError):
    """A file without sound."""


def load_clip(path: str | Path, seconds: float = SECONDS) -> np.ndarray:
    """The middle of a sound file, mono at 16 kHz: (seconds x 16000,) float32 in [-1, 1].

    A shorter sound is repeated. Raises as read_sound does, and ValueError for a file without samples.
    """
    waveform = read_sound(path)
    if len(waveform) == 0:
        raise ValueError(f"{path} holds no sound: replace the file")
    return fit_length(waveform, seconds)


def fit_length(waveform: np.ndarray, seconds: float = SECONDS) -> np.ndarray:
    """The middle of a waveform (n,) at 16 kHz: (seconds x 16000,). A shorter one is repeated."""
    samples = round(seconds * RATE)
    if len(waveform) < samples:
        waveform = np.tile(waveform, samples // len(waveform) + 1)
    start = len(waveform) // 2 - samples // 2
    return waveform[start : start + samples]


def read_sound(path: str | Path) -> np.ndarray:
    """The sound of a file, mono at 16 kHz: (n,) float32 in [-1, 1]; the middle minute of a longer one.

    Reads WAV without further libraries, and formats of FFmpeg (flac, mp3, ogg, mp4, ...) with PyAV. Raises
    FileNotFoundError, NoAudioTrack, or ValueError with the file's name if it cannot be read.
    """
    path = Path(path)
    with _reading(path):
        rate, waveform = _read_wav(path) if path.suffix.lower() == ".wav" else _read_compressed(path)
    middle, half = len(waveform) // 2, 30 * rate
    return resample(waveform[max(middle - half, 0) : middle + half], rate)


class SoundAround:
    """The seconds of a file's sound around increasing times. Memory does not grow with the length of the file.

    Reads any format of FFmpeg, videos included. Times are those of the file's frames. length: seconds, None if the
    file does not say. Raises as read_sound does; for a truncated file, at its end.
    """

    def __init__(self, path: str | Path, seconds: float = SECONDS):
        self.seconds = seconds
        self._parts = _decode(Path(path))
        self.rate, self._start, self.length = next(self._parts)
        self._buffer = np.zeros(0, np.float32)  # the samples from the time _start on

    def at(self, time: float) -> np.ndarray:
        """The sound around a time, as far as the file has it: (n,) float32 at 16 kHz, n <= 16000 x seconds.

        Times must not decrease from call to call.
        """
        first = round((time - self.seconds / 2 - self._start) * self.rate)
        first, last = max(first, 0), max(first + round(self.seconds * self.rate), 0)
        parts = [self._buffer]
        while sum(map(len, parts)) < last and (part := next(self._parts, None)) is not None:
            parts.append(part)
        self._buffer = np.concatenate(parts)
        part = self._buffer[first:last]
        self._buffer = self._buffer[first:]
        self._start += first / self.rate
        return resample(part, self.rate)


def resample(waveform: np.ndarray, rate: int) -> np.ndarray:
    """(n,) float32 at any rate -> at 16 kHz."""
    if rate == RATE or len(waveform) == 0:
        return waveform
    from scipy.signal import resample_poly  # late: it costs 0.5 s, which --help need not take

    ratio = Fraction(RATE, rate)
    return resample_poly(waveform, ratio.numerator, ratio.denominator).astype(np.float32)


@contextmanager
def _reading(path):
    """Names the file in any error that reading its sound raises."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: put the sound there") from None
    except NoAudioTrack:
        raise NoAudioTrack(f"{path} has no audio track") from None
    except Exception as error:  # SciPy raises UnboundLocalError, ZeroDivisionError, ... for broken headers
        raise ValueError(f"{path} cannot be read as sound ({error}): replace the file") from None


def _read_wav(path):
    """Rate and mono float32 samples of a PCM or float WAV file."""
    from scipy.io import wavfile  # late: it costs 0.2 s

    rate, samples = wavfile.read(path)
    if samples.dtype == np.uint8:  # 8-bit WAV is unsigned around 128
        samples = samples.astype(np.float32) / 128 - 1
    elif samples.dtype.kind == "i":
        samples = samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
    return rate, _mono(samples)


def _read_compressed(path):
    """Rate and mono float32 samples of the first audio stream of any file that FFmpeg reads."""
    with _open_sound(path) as (container, stream):
        frames = list(_samples(container, stream))
        rate, length = stream.rate, float((stream.duration or 0) * stream.time_base)
    waveform = np.concatenate(frames) if frames else np.zeros(0, np.float32)
    if container.format.name not in ESTIMATED and len(waveform) / rate < length - SHORTFALL:
        raise ValueError(f"it ends after {len(waveform) / rate:.1f} of {length:.1f} s")
    return rate, waveform


def _decode(path):
    """For SoundAround: yields (rate, time of the first sample, length), then the samples part by part."""
    with _reading(path), _open_sound(path) as (container, stream):
        start, length = ((value or 0) * stream.time_base for value in (stream.start_time, stream.duration))
        yield stream.rate, float(start), float(length or (container.duration or 0) / 1e6) or None
        yield from _samples(container, stream)


@contextmanager
def _open_sound(path):
    """The container of a file in any format of FFmpeg, and its first audio stream."""
    try:
        import av  # only needed where sound is compressed: training and testing run without it
    except ImportError:
        raise ValueError("reading anything but WAV needs PyAV: pip install av") from None

    with av.open(str(path.absolute())) as container:  # absolute: of "12:30.mp4", "12" would be a protocol
        if not container.streams.audio:
            raise NoAudioTrack
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise ValueError("its sound cannot be decoded: FFmpeg has no decoder for it")
        yield container, stream


def _samples(container, stream):
    """Yields the samples of an audio stream part by part: mono float32 at the stream's rate."""
    import av

    resampler = av.AudioResampler(format="fltp", rate=stream.rate)
    for frame in container.decode(stream):
        for part in resampler.resample(frame):
            yield _mono(part.to_ndarray().T)


def _mono(samples):
    """(n,) or (n, channels) -> (n,) float32, the mean over the channels."""
    return (samples.mean(axis=1) if samples.ndim == 2 else samples).astype(np.float32)
