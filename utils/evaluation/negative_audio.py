"""Negative audio: silence, noise and other clips, which should point at nothing."""

import numpy as np
import torch
from torch.nn.functional import interpolate

from dataset.benchmarks.annotations import GT_SIZE
from dataset.benchmarks.test_sets import ShuffledSounds
from dataset.media.audio import RATE
from utils import distributed
from utils.evaluation.metrics import THRESHOLDS, bootstrap, consensus_iou, summarise
from utils.evaluation.sounds import read_waveform

NOISES = 64  # different ones; the items take turns
NEGATIVE = ("silence", "noise", "other_clip")

# The universal threshold by the maxima of all maps under negative audio, three ways of its authors. The second is our
# reading of their words "max - 10 %".
UNIVERSAL = {
    "third_quartile": lambda maxima: np.nanquantile(maxima, 0.75),
    "max_less_10": lambda maxima: np.nanmax(maxima) - 0.1 * abs(np.nanmax(maxima)),
    "max": np.nanmax,
}


class NegativeAudio:
    """Maps under silence, white noise and the sound of another clip, none of which should point at anything (Juanola et
    al., "A critical assessment of visual sound source localization models including negative audio", 2024).

    sounds: of encode_sounds. seed: of the noises and of the other clips (see ShuffledSounds).
    """

    name = "negative_audio"

    @torch.no_grad()
    def __init__(self, model, test_set, sounds, device, seed):
        self.model, self.benchmark, self.sounds = model, test_set.benchmark, sounds
        rng = np.random.default_rng(seed)
        front_end, samples = test_set.front_end, round(test_set.front_end.seconds * RATE)
        noises = torch.cat([read_waveform(rng.normal(size=samples), front_end) for _ in range(NOISES)])
        self.noises = model.encode_sound(noises.to(device))
        self.silence = model.encode_sound(read_waveform(np.zeros(samples), front_end).to(device))
        self.donors = ShuffledSounds(test_set, seed).donors
        self.rows = []

    def update(self, indices, vision, similarity):
        """indices: (B,) of items. vision: their encoded images. similarity: (B, h, w) with their own sounds."""
        negative = {
            "silence": self.silence.expand(len(indices), -1),
            "noise": self.noises[[index % NOISES for index in indices]],
            "other_clip": self.sounds[[self.donors[index] for index in indices]],
        }
        maps = [similarity, *(self.model.similarity(vision, negative[kind]) for kind in NEGATIVE)]
        for index, row in zip(indices, torch.stack(maps, dim=1).float().cpu(), strict=True):
            if not self.benchmark.sounding or self.benchmark.sounding[index]:
                self.rows.append((index, row))

    def compute(self) -> dict:
        """By each of UNIVERSAL thresholds, one number for the whole set in the cosine's own units: threshold, and by
        sound share, the mean share of pixels above it, and share_auc, the area under the curve of items whose share is
        at most 0, 0.05, ..., 1; for the items' own sounds what they score with it; f, the harmonic mean of that cIoU
        and of 1 - share.
        """
        rows = sorted(distributed.gather_lists(self.rows), key=lambda row: row[0])
        places, maps = [place for place, _ in rows], torch.stack([row for _, row in rows])
        batches = range(0, len(maps), 64)
        peaks = np.concatenate([_enlarge(maps[i : i + 64]).max(axis=(2, 3)) for i in batches])
        thresholds = {name: float(choose(peaks[:, 1:])) for name, choose in UNIVERSAL.items()}
        shares, ious = ({name: [] for name in UNIVERSAL} for _ in range(2))
        for i in batches:
            enlarged = _enlarge(maps[i : i + 64])
            gt = np.stack([self.benchmark.gt_map(place) for place in places[i : i + 64]])
            for name, threshold in thresholds.items():
                regions = enlarged > threshold
                shares[name].append(regions.mean(axis=(2, 3)))
                ious[name].append(consensus_iou(regions[:, 0], gt))
        found = {name: (np.concatenate(shares[name]), np.concatenate(ious[name])) for name in UNIVERSAL}
        unread = np.isnan(peaks)
        return {name: {"threshold": thresholds[name], **negative_scores(*found[name], unread)} for name in UNIVERSAL}


def negative_scores(shares, ious, unread):
    """Named numbers of one threshold: shares (n, 4) above it under an item's own sound and those of NEGATIVE, ious (n,)
    of its own, unread (n, 4) bool, where there is no sound."""
    own = summarise(ious)
    numbers = {"own": own | {"share": float(shares[:, 0].mean())}}
    for k, kind in enumerate(NEGATIVE, start=1):
        share = shares[~unread[:, k], k]
        low, high = bootstrap(share[None])[:, 0].round(4)
        quiet, right = 1 - share.mean(), own["ciou"]
        numbers[kind] = {
            "share": float(share.mean()),
            "share_95": [float(low), float(high)],
            "share_auc": float(np.trapezoid((share[:, None] <= THRESHOLDS).mean(axis=0), THRESHOLDS)),
            "f": float(2 * quiet * right / (quiet + right)) if quiet + right else 0.0,
        }
    return numbers


def _enlarge(maps):
    """(B, k, h, w) -> (B, k, 224, 224), as the rules see it."""
    return interpolate(maps, (GT_SIZE, GT_SIZE), mode="bilinear").numpy()
