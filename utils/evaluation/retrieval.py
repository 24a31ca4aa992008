"""Cross-modal retrieval: which sound of a gallery fits an image, and which image a sound."""

import numpy as np
import torch

from utils import distributed

PAIRS = 256  # of one image and so many sounds, compared at once


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

    def update(self, indices, vision, similarity):
        """As NegativeAudio.update."""
        wanted = set(self.gallery)
        for index, image in zip(indices, vision, strict=True):
            if index in wanted:
                maps = [
                    self.model.similarity(image.expand(len(part), *image.shape), part)
                    for part in self.sounds.split(PAIRS)
                ]
                self.rows.append((index, torch.cat(maps).flatten(1).amax(dim=1).float().cpu().numpy()))

    def compute(self) -> dict:
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
