"""What a model makes of sounds that are not its images': silence, noise, other clips, and every clip of the set.

Sounds are encoded once, images are encoded by the evaluation, which shows each batch's features to the probes.
"""

import numpy as np
import torch
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader, Dataset, Subset

from dataset.annotations import GT_SIZE
from dataset.audio import SAMPLES, SECONDS, log_mel_patches, scale
from dataset.test_sets import SwappedSounds
from utils import distributed
from utils.metrics import THRESHOLDS, bootstrap, consensus_iou, summarise
from utils.seed import start_worker

NOISES = 64  # different ones; the items take turns
PAIRS = 256  # of one image and so many sounds, compared at once
NEGATIVE = ("silence", "noise", "other_clip")
# The universal threshold by the maxima of all maps under negative audio, three ways of its authors. The second is our
# reading of their words "max - 10 %".
UNIVERSAL = {
    "third_quartile": lambda maxima: np.nanquantile(maxima, 0.75),
    "max_less_10": lambda maxima: np.nanmax(maxima) - 0.1 * abs(np.nanmax(maxima)),
    "max": np.nanmax,
}


class Sounds(Dataset):
    """The spectrograms of a test set; of a sound that cannot be read only zeros, and readable is False."""

    def __init__(self, test_set):
        self.test_set = test_set

    def __len__(self):
        return len(self.test_set)

    def __getitem__(self, index):
        try:
            return {"spect": self.test_set.spect(index), "readable": True}
        except (FileNotFoundError, ValueError):  # the evaluation reports it, with the item's name
            return {"spect": torch.zeros(SECONDS, 1, 96, 64), "readable": False}


def build_probes(args, model, test_set, device):
    """The probes that args ask for, a list."""
    if not (args.negative_audio or args.retrieval):
        return []
    sounds = encode_sounds(model, test_set, device, args.batch_size_per_gpu, args.workers)
    probes = [NegativeAudio(model, test_set, sounds, device, args.seed)] if args.negative_audio else []
    return [*probes, Retrieval(model, test_set.labels, sounds, args.retrieval, args.seed)] if args.retrieval else probes


@torch.no_grad()
def encode_sounds(model, test_set, device, batch_size, workers):
    """Encoded sound of each item, (n, C), NaN where it is missing or cannot be read."""
    model.eval()
    missing = test_set.find_missing()
    at_hand = [i for i, item_id in enumerate(test_set.ids) if item_id not in missing]
    if not at_hand:
        raise ValueError("there is no item to score: check the test list and the files it names")
    loader = DataLoader(Subset(Sounds(test_set), at_hand), batch_size, num_workers=workers, worker_init_fn=start_worker)
    parts = []
    for batch in loader:
        audio = model.encode_sound(batch["spect"].to(device))
        parts.append(audio.masked_fill(~batch["readable"].to(device)[:, None], float("nan")))
    encoded = torch.cat(parts)
    sounds = encoded.new_full((len(test_set), encoded.shape[1]), float("nan"))
    sounds[at_hand] = encoded
    return sounds


def spect_of(waveform):
    """A waveform (48000,) as the network reads it: (1, 3, 1, 96, 64)."""
    return torch.from_numpy(log_mel_patches(scale(waveform)))[None, :, None]


class NegativeAudio:
    """Maps under silence, white noise and the sound of another clip, none of which should point at anything (Juanola et
    al., "A critical assessment of visual sound source localization models including negative audio", 2024).

    sounds: of encode_sounds. seed: of the noises and of who hears whom (see SwappedSounds).
    """

    name = "negative_audio"

    @torch.no_grad()
    def __init__(self, model, test_set, sounds, device, seed):
        self.model, self.labels, self.sounds = model, test_set.labels, sounds
        rng = np.random.default_rng(seed)
        noises = torch.cat([spect_of(rng.normal(size=SAMPLES)) for _ in range(NOISES)])
        self.noises = model.encode_sound(noises.to(device))
        self.silence = model.encode_sound(spect_of(np.zeros(SAMPLES)).to(device))
        self.donors = SwappedSounds(test_set, seed).donors
        self.rows = []

    def look(self, places, vision, similarity):
        """places: (B,) indices of items; vision: their encoded images; similarity (B, h, w) with their own sounds."""
        negative = {
            "silence": self.silence.expand(len(places), -1),
            "noise": self.noises[[place % NOISES for place in places]],
            "other_clip": self.sounds[[self.donors[place] for place in places]],
        }
        maps = [similarity, *(self.model.similarity(vision, negative[kind]) for kind in NEGATIVE)]
        for place, row in zip(places, torch.stack(maps, dim=1).float().cpu(), strict=True):
            if not self.labels.sounding or self.labels.sounding[place]:
                self.rows.append((place, row))

    def summary(self):
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
            gt = np.stack([self.labels.gt_map(place) for place in places[i : i + 64]])
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


class Retrieval:
    """Which of a gallery's sounds fits an image best, and which image a sound: R@1, R@5 and R@10.

    A pair's score is the similarity at the place of the image that fits the sound best. The gallery is `items` of the
    sounding items whose sounds can be read, drawn by the seed, or all where there are fewer. Every pair of it is one
    map of model.similarity: n * n maps for n items. SACL's take about 15 us each on one core (1,000 items: 15 s); those
    of a method that looks at the image again for each sound, such as SSPL's predictive coding, took 250 ms there
    (1,000 items: three days; 100: 42 minutes). sounds: of encode_sounds.
    """

    name = "retrieval"

    def __init__(self, model, labels, sounds, items, seed):
        sounding = np.array(labels.sounding or [True] * len(labels)) & sounds.isfinite().all(dim=1).cpu().numpy()
        drawn = np.random.default_rng(seed).permutation(np.flatnonzero(sounding))[:items]
        self.gallery = sorted(drawn.tolist())
        self.model, self.sounds, self.rows = model, sounds[self.gallery], []
        self.names = [labels.sounds[place] for place in self.gallery]

    def look(self, places, vision, similarity):
        """As NegativeAudio.look."""
        wanted = set(self.gallery)
        for place, image in zip(places, vision, strict=True):
            if place in wanted:
                maps = [
                    self.model.similarity(image.expand(len(part), *image.shape), part)
                    for part in self.sounds.split(PAIRS)
                ]
                self.rows.append((place, torch.cat(maps).flatten(1).amax(dim=1).float().cpu().numpy()))

    def summary(self):
        """Shares of queries by direction: {"n", "image_to_sound": {"r1", "r5", "r10"}, "sound_to_image": ...}, n being
        the gallery's readable items."""
        rows = dict(distributed.gather_lists(self.rows))
        kept = [k for k, place in enumerate(self.gallery) if place in rows and np.isfinite(rows[place][k])]
        scores = np.stack([rows[self.gallery[k]][kept] for k in kept])
        names = np.unique([self.names[k] for k in kept], return_inverse=True)[1]
        numbers = {"n": len(kept)}
        for direction, table in (("image_to_sound", scores), ("sound_to_image", scores.T)):
            numbers[direction] = {f"r{k}": recall_at(k, table, names) for k in (1, 5, 10)}
        return numbers


def recall_at(k, scores, names):
    """Share of queries (rows) with a right answer among the k best: scores (n, n); right are columns of the same name
    (AVSBench has one sound for several frames). What ties is drawn by lot: the share is the expectation."""
    shares = np.empty(len(scores))
    for i, row in enumerate(scores):
        right = names == names[i]
        best = row[right].max()
        better, tied = (row[~right] > best).sum(), (row[~right] == best).sum()
        shares[i] = np.clip((k - better) / (tied + 1), 0, 1)
    return float(shares.mean())
