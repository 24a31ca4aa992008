"""Timbres of the demo set: eight synthesised sounds, each with evidence of its class in every second."""

import numpy as np
from scipy.signal import butter, lfilter, sosfilt

from dataset.media.audio import RATE, SAMPLES, SECONDS

TIME = np.arange(SAMPLES) / RATE  # seconds


def _band(noise, low, high):
    """Noise (n,) filtered to low ... high Hz."""
    return sosfilt(butter(2, (low, high), "bandpass", fs=RATE, output="sos"), noise)


def _times(rng, gap, jitter=0.05):
    """Onsets in seconds, about gap apart; the first one lies before the clip, which starts in the middle of things."""
    onsets = np.arange(rng.uniform(-gap, 0), SECONDS, gap)
    return onsets + gap * jitter * rng.standard_normal(len(onsets))


def _train(onsets, note):
    """The sum of the notes note(k) (n,) that start at the onsets (seconds), cut to the clip: (48000,)."""
    clip = np.zeros(SAMPLES)
    for k, onset in enumerate(onsets):
        start = int(onset * RATE)
        sound = note(k)[max(-start, 0) : max(SAMPLES - start, 0)]
        start = max(start, 0)
        clip[start : start + len(sound)] += sound
    return clip


def _glide(frequency):
    """Phase in radians of a tone whose frequency in Hz is given for every sample."""
    return 2 * np.pi * np.cumsum(frequency) / RATE


def _bell(rng):
    """An alarm bell: quick strokes with long inharmonic partials."""
    pitch, decay = rng.uniform(740, 860), rng.uniform(0.5, 0.9)
    ratios = np.array([0.5, 1.0, 1.19, 1.5, 2.0, 2.52, 3.01, 4.17, 5.43]) * (1 + 0.004 * rng.standard_normal(9))
    strength = np.array([0.5, 1, 0.7, 0.35, 0.8, 0.45, 0.4, 0.3, 0.2]) * rng.uniform(0.6, 1.2, 9)
    partials = np.sin(2 * np.pi * pitch * ratios[:, None] * TIME + rng.uniform(0, 6, (9, 1)))
    stroke = strength @ (partials * np.exp(-TIME * (ratios[:, None] ** 0.7) / decay))
    return _train(_times(rng, rng.uniform(0.2, 0.28), 0.02), lambda k: stroke * rng.uniform(0.7, 1))


def _drum(rng):
    """Low thumps in a rhythm of strong and weak beats."""
    t = TIME[: RATE // 2]
    high, low, decay = rng.uniform(230, 330), rng.uniform(90, 140), rng.uniform(0.05, 0.1)
    thump = np.sin(_glide(low + (high - low) * np.exp(-t / 0.03))) * np.exp(-t / decay)
    skin = _band(rng.standard_normal(len(t)), 150, 700) * np.exp(-t / 0.03)
    accents = rng.choice([1.0, 0.5, 0.75], int(rng.integers(3, 5)))
    beat = thump + 0.5 * skin
    return _train(_times(rng, rng.uniform(0.14, 0.22), 0.03), lambda k: accents[k % len(accents)] * beat)


def _bird(rng):
    """Phrases of fast, high chirps."""
    pitch, notes, length = rng.uniform(4000, 5000), int(rng.integers(3, 6)), rng.uniform(0.05, 0.09)
    rise = rng.uniform(0.15, 0.35) * rng.choice([-1, 1])
    t = TIME[: int(length * RATE)]

    def chirp(k):
        sweep = pitch * (1 + rise * (t / length - 0.5) + 0.05 * rng.standard_normal())
        return np.sin(_glide(sweep)) * np.sin(np.pi * t / length) ** 2

    phrases = _times(rng, notes * length * 1.3 + rng.uniform(0.06, 0.2))
    return _train((phrases[:, None] + 1.3 * length * np.arange(notes)).ravel(), chirp)


def _siren(rng):
    """A tone with odd harmonics that wails up and down."""
    low, high = rng.uniform(560, 640), rng.uniform(1400, 1600)
    wave = np.sin(2 * np.pi * (TIME / rng.uniform(0.2, 0.3) + rng.random()))
    phase = _glide(low * (high / low) ** (0.5 + 0.5 * wave))
    return np.sin(phase) + rng.uniform(0.25, 0.45) * np.sin(3 * phase) + rng.uniform(0.08, 0.2) * np.sin(5 * phase)


def _car(rng):
    """An engine: a low buzz of many harmonics, rough and turning over."""
    wander = np.interp(TIME, np.linspace(0, SECONDS, 7), rng.uniform(0.85, 1.2, 7))
    phase = _glide(rng.uniform(48, 80) * wander)
    harmonics, cycle = np.arange(1, 25), np.linspace(0, 2 * np.pi, 1024)
    strength = harmonics**-0.8 * rng.uniform(0.5, 1.2, 24)
    stroke = strength @ np.sin(harmonics[:, None] * cycle + rng.uniform(0, 6, (24, 1)))
    buzz = np.interp(phase % (2 * np.pi), cycle, stroke)
    rough = _band(rng.standard_normal(SAMPLES), 400, 2000)
    return (buzz + 2.0 * rough) * (1 + 0.5 * np.sin(phase / 2))


def _guitar(rng):
    """Plucked strings (Karplus-Strong): an arpeggio over a chord."""
    root = rng.uniform(180, 210)
    chord = root * 2 ** (np.array([0, 3 + rng.integers(2), 7, 12, 15, 19]) / 12)
    damping = rng.uniform(0.3, 0.4)

    def pluck(k):
        period = round(RATE / rng.choice(chord))
        loop = np.zeros(period + 2)
        loop[[0, period, period + 1]] = 1, -0.996 * (1 - damping), -0.996 * damping
        burst = np.zeros(RATE)
        burst[:period] = rng.uniform(-1, 1, period)
        return lfilter([1.0], loop, burst)

    return _train(_times(rng, rng.uniform(0.1, 0.16)), pluck)


def _clock(rng):
    """Sharp ticks and tocks."""
    t = TIME[: RATE // 20]
    pitch, decay = rng.uniform(2200, 2500), rng.uniform(0.005, 0.009)

    def tick(k):
        ring = np.sin(2 * np.pi * pitch * (1.0, 0.8)[k % 2] * t) + 0.6 * np.sin(2 * np.pi * 2.1 * pitch * t)
        return (ring + 1.2 * rng.standard_normal(len(t))) * np.exp(-t / decay)

    return _train(_times(rng, rng.uniform(0.1, 0.15), 0.01), tick)


def _kettle(rng):
    """A steady whistle in a hiss of steam."""
    tremble, drift = 0.01 * np.sin(2 * np.pi * rng.uniform(4, 8) * TIME), rng.uniform(-0.03, 0.03) * TIME
    phase = _glide(rng.uniform(2100, 2500) * (1 + tremble + drift))
    steam = _band(rng.standard_normal(SAMPLES), 2500, 7500)
    return np.sin(phase) + rng.uniform(0.1, 0.3) * np.sin(2 * phase) + rng.uniform(0.4, 0.8) * steam


TIMBRES = {
    "bell": _bell,
    "drum": _drum,
    "bird": _bird,
    "siren": _siren,
    "car": _car,
    "guitar": _guitar,
    "clock": _clock,
    "kettle": _kettle,
}


def play_thing(name, rng):
    """One example of a class at some loudness, in some noise: (48000,) float32 within [-1, 1]."""
    clip = TIMBRES[name](rng)
    clip = clip / np.abs(clip).max() + rng.standard_normal(SAMPLES) * 10 ** rng.uniform(-3.0, -2.3)
    return (clip / np.abs(clip).max() * rng.uniform(0.25, 0.95)).astype(np.float32)
