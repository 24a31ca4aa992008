"""The losses of SACL (T-PAMI 2024) and SSPL (CVPR 2022), in the form of their authors' programs."""

import torch
from torch import einsum, nn
from torch.nn.functional import cosine_similarity, cross_entropy, interpolate, normalize
from torch.utils.checkpoint import checkpoint

DROPPED = -10.0  # similarity of a false negative; after the temperature its share of the softmax vanishes
PAIR_CELLS = 2**24  # cosines of images' cells with sounds held at a time: 64 MB, more than 256 clips need at once


class SACLLoss(nn.Module):
    """Image-to-audio InfoNCE over compacted visual anchors, without false negatives.

    signs: how healthy the last call's batch was (see signs_of), scalar tensors by name.

    temperature: tau. retain_ratio: the fraction of cells that the similarity mask DROPS (0.25 keeps 146 of 196),
    as in the authors' program. negative_ratio: the share of the batch kept as negatives. masked_max: "zero" lets
    cells outside the mask take part in the maximum as zero vectors (the authors' behaviour), "exclude" leaves them out.
    """

    def __init__(self, temperature=0.005, retain_ratio=0.5, negative_ratio=0.75, masked_max="zero"):
        super().__init__()
        if masked_max not in ("zero", "exclude"):
            raise ValueError(f"masked_max is '{masked_max}': give 'zero' or 'exclude'")
        self.temperature = temperature
        self.retain_ratio = retain_ratio
        self.negative_ratio = negative_ratio
        self.floor = {"zero": 0.0, "exclude": -1.0}[masked_max]  # no cosine is below -1

    def forward(self, vision, audio, sound, regions, first=0):
        """Scalar loss: the sum over the views of the mean over the anchors.

        vision: list of two (B, C, H, W) feature maps; audio: (N, C) projected audio; sound: (N, 128) original VGGish
        audio; none normalised. regions: list of two (B, 1, H', W') integer label maps, the same labels for the same
        things in both views. N = B in one process; where audio was gathered from several, the clip of vision[:, i] is
        row `first` + i.
        """
        vision, audio = [normalize(view) for view in vision], normalize(audio)
        anchors = torch.arange(first, first + len(vision[0]), device=audio.device)
        with torch.no_grad():
            own = [einsum("ichw,ic->ihw", view, audio[anchors]) for view in vision]
            masks = positive_masks([retained_cells(map_, self.retain_ratio) for map_ in own], regions)
            dropped = ~negatives(sound, self.negative_ratio, anchors)
            dropped.scatter_(1, anchors[:, None], False)
        similarities = [strongest(view, audio, mask, self.floor) for view, mask in zip(vision, masks, strict=True)]
        self.signs = signs_of(similarities, audio, masks, anchors, self.floor)
        return sum(
            cross_entropy(similarity.masked_fill(dropped, DROPPED) / self.temperature, anchors)
            for similarity in similarities
        )


def strongest(vision, audio, mask, floor):
    """The largest cosine of each image's masked cells with each sound; a cell outside the mask counts as `floor`.

    vision: (B, C, H, W), audio: (N, C), both normalised; mask: (B, H, W) bool. Returns (B, N). Where there are many
    pairs, their (B, N, H, W) cosines are never held all at once: a few images' at a time, and again on the way back.
    """

    def of_some(vision, mask):
        return einsum("ichw,jc->ijhw", vision, audio).masked_fill(~mask[:, None], floor).amax(dim=(2, 3))

    images = max(1, PAIR_CELLS // (len(audio) * mask[0].numel()))
    if images >= len(vision):
        return of_some(vision, mask)
    parts = zip(vision.split(images), mask.split(images), strict=True)
    return torch.cat([checkpoint(of_some, *part, use_reentrant=False, preserve_rng_state=False) for part in parts])


def spread_of(features):
    """Variance of unit vectors (N, C): 1 minus their mean cosine."""
    return features.var(dim=0, correction=0).sum()


@torch.no_grad()
def signs_of(similarities, audio, masks, anchors, floor):
    """Early signs of trouble, in 0 ... 1: similarities, two (B, N), audio (N, C) normalised, masks, two (B, H, W).

    similarity_spread: standard deviation of an image's similarities to the sounds (0: collapse); sound_spread: variance
    of the sounds' features, 1 minus their mean cosine (0: a dead branch); empty_masks: share of anchors without a cell
    to learn from; positives_without_gradient: share whose own similarity is the floor. Means over both views.
    """
    positives = torch.stack([similarity.gather(1, anchors[:, None]) for similarity in similarities])
    return {
        "similarity_spread": torch.stack(similarities).std(dim=2, correction=0).mean(),
        "sound_spread": spread_of(audio),
        "empty_masks": (~torch.stack(masks).any(dim=(2, 3))).float().mean(),
        "positives_without_gradient": (positives == floor).float().mean(),
    }


def retained_cells(similarity, ratio):
    """Cells of each map strictly above its value of rank int(H W ratio): (B, H, W) -> (B, H, W) bool."""
    values = similarity.flatten(1).sort(dim=1).values
    rank = min(int(values.shape[1] * ratio), values.shape[1] - 1)
    return similarity > values[:, rank, None, None]


def positive_masks(retained, regions):
    """Cells of the two views that count as the sounding object (SACL, step 3).

    retained: list of two (B, H, W) bool; regions: list of two (B, 1, H', W') labels. Chosen is, of the regions seen in
    both views, the one that holds most retained cells of view 1 (the smallest label, of several). Returns a list of two
    (B, H, W) bool: in view 1 the retained cells of that region; in view 2 likewise, or the whole region where it holds
    none. If either view shows nothing but label 0, the whole view is the region; if no region is shared, the retained
    cells are the mask.
    """
    labels = [interpolate(view.float(), retained[0].shape[1:]).flatten(1) for view in regions]  # nearest
    single = (labels[0].amax(1) == 0) | (labels[1].amax(1) == 0)
    labels = [torch.where(single[:, None], 0.0, view) for view in labels]

    same = labels[0][:, :, None] == labels[0][:, None, :]  # cells p, q of view 1 lie in one region
    shared = (labels[0][:, :, None] == labels[1][:, None, :]).any(dim=2)
    overlap = (same & retained[0].flatten(1)[:, None, :]).sum(dim=2).masked_fill(~shared, -1)
    best = overlap.amax(dim=1, keepdim=True)
    chosen = labels[0].masked_fill(overlap < best, torch.inf).amin(dim=1, keepdim=True)

    found = (best >= 0)[:, :, None]
    segments = [(view == chosen).view_as(retained[0]) for view in labels]
    masks = [cells & (segment | ~found) for cells, segment in zip(retained, segments, strict=True)]
    empty = found & ~masks[1].any(dim=(1, 2), keepdim=True)
    return [masks[0], torch.where(empty, segments[1], masks[1])]


def negatives(sound, ratio, anchors=slice(None)):
    """Clips that are no false negatives: the int(N ratio) whose sound is least like the anchor's.

    sound: (N, 128); anchors: the rows to look at. Returns (anchors, N) bool; the anchor itself may be among them.
    """
    sound = normalize(sound)
    similarity = sound[anchors] @ sound.T
    least = similarity.topk(int(len(sound) * ratio), dim=1, largest=False).indices
    return torch.zeros_like(similarity, dtype=torch.bool).scatter(1, least, True)


class SSPLLoss(nn.Module):
    """Each view's prediction against the other view's projection, which is held still; no negatives."""

    def forward(self, predictions, projections):
        """predictions p, projections z: lists of two (B, C), a view each. Returns a scalar in [-1, 1]."""
        (p1, p2), (z1, z2) = predictions, projections
        return -(cosine_similarity(p1, z2.detach()).mean() + cosine_similarity(p2, z1.detach()).mean()) / 2
