"""SACL: sound source localisation by semantic-aware contrastive learning (Song et al., T-PAMI 2024)."""

import torch
from torch import Tensor, einsum, nn
from torch.nn.functional import cross_entropy, interpolate, normalize
from torch.utils.checkpoint import checkpoint

from models.diagnostics import Diagnostic, audio_spread, similarity_spread
from models.gather import gather, rank
from models.resnet import FrameNet
from models.vggish import SoundNet
from models.weights import RESNET_URL, SACL_URL, VGGISH_URL, load_weights

MASKED_LOGIT = -10.0  # similarity of a false negative; after the temperature its share of the softmax vanishes
PAIR_CELLS = 2**24  # cosines of images' cells with sounds held at a time: 64 MB, more than 256 clips need at once


class SACL(nn.Module):
    """A visual and an audio encoder whose features meet in one space.

    frame_net: (B, 3, H, W) -> (B, C, H / 16, W / 16); sound_net: (B, S, 1, 96, 64) -> (B, 128) and (B, C).
    """

    def __init__(self, frame_net: nn.Module, sound_net: nn.Module):
        super().__init__()
        self.frame_net = frame_net
        self.sound_net = sound_net

    def forward(self, views: list[Tensor], audio: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Features for the loss, float32 whatever precision the encoders ran in.

        views: list of two (B, 3, H, W), ImageNet-normalised; audio: (B, S, 1, 96, 64) log-mel patches.
        Returns vision, a list of two (B, C, H / 16, W / 16), audio (B, C) and sound (B, 128), none normalised.
        Batch statistics are taken per view, as the authors do.
        """
        vision = [self.frame_net(view).float() for view in views]
        sound, embedding = self.sound_net(audio)
        return vision, embedding.float(), sound.float()

    def localize(self, image: Tensor, audio: Tensor) -> Tensor:
        """Cosine of the sound and each place of the image: (B, 3, H, W), (B, S, 1, 96, 64) -> (B, H / 16, W / 16)."""
        return self.similarity(self.encode_image(image), self.encode_sound(audio))

    def encode_image(self, image: Tensor) -> Tensor:
        """Unit vectors of the places of images: (B, 3, H, W) -> (B, C, H / 16, W / 16)."""
        return normalize(self.frame_net(image).float())

    def encode_sound(self, audio: Tensor) -> Tensor:
        """Unit vectors of sounds: (B, S, 1, 96, 64) -> (B, C)."""
        _, embedding = self.sound_net(audio)
        return normalize(embedding.float())

    def similarity(self, vision: Tensor, audio: Tensor) -> Tensor:
        """Cosine of each encoded sound and the places of its image: (B, C, h, w), (B, C) -> (B, h, w)."""
        # einsum would copy an image that is expanded to meet many sounds, and take 35 times as long.
        return (audio[:, None] @ vision.flatten(2)).view(-1, *vision.shape[2:])

    def parts(self) -> dict[str, nn.Module]:
        """The networks by the names of their published files: <name>_best.pth."""
        return {"frame": self.frame_net, "sound": self.sound_net}

    def parameter_groups(self, args) -> list[dict]:
        """Both networks are trained, each with its learning rate."""
        return [
            {"params": self.frame_net.parameters(), "lr": args.lr_frame},
            {"params": self.sound_net.parameters(), "lr": args.lr_sound},
        ]


class SACLLoss(nn.Module):
    """Image-to-audio InfoNCE over compacted visual anchors, without false negatives (SACL, steps 2 to 5).

    temperature: tau. retain_ratio: the fraction of cells that the similarity mask DROPS (0.25 keeps 146 of 196), as in
    the authors' program. negative_ratio: the share of the batch kept as negatives. masked_max: "zero" lets cells
    outside the mask take part in the maximum as zero vectors (the authors' behaviour), "exclude" leaves them out.
    """

    def __init__(
        self,
        temperature: float = 0.005,
        retain_ratio: float = 0.5,
        negative_ratio: float = 0.75,
        masked_max: str = "zero",
    ):
        super().__init__()
        if masked_max not in ("zero", "exclude"):
            raise ValueError(f"masked_max is '{masked_max}': give 'zero' or 'exclude'")
        self.temperature = temperature
        self.retain_ratio = retain_ratio
        self.negative_ratio = negative_ratio
        self.masked_value = {"zero": 0.0, "exclude": -1.0}[masked_max]  # no cosine is below -1

    def forward(self, vision, audio, sound, regions, row_offset: int = 0) -> Tensor:
        """Scalar loss: the sum over the views of the mean over the anchors.

        Args:
            vision: list of two (B, C, H, W) feature maps. audio: (N, C) projected audio embeddings. sound: (N, 128)
                VGGish embeddings. None of them is normalised. regions: list of two (B, 1, H', W') integer label maps,
                the same labels for the same things in both views.
            row_offset: N = B in one process; where audio was gathered from several, the clip of vision[:, i] is row
                row_offset + i.
        """
        return self.with_diagnostics(vision, audio, sound, regions, row_offset)[0]

    def with_diagnostics(self, vision, audio, sound, regions, row_offset: int = 0) -> tuple[Tensor, dict]:
        """The same loss, and its loss_diagnostics."""
        vision, audio = [normalize(view) for view in vision], normalize(audio)
        anchors = torch.arange(row_offset, row_offset + len(vision[0]), device=audio.device)
        with torch.no_grad():
            own = [einsum("ichw,ic->ihw", view, audio[anchors]) for view in vision]
            masks = positive_masks([retained_cells(map_, self.retain_ratio) for map_ in own], regions)
            dropped = ~negatives(sound, self.negative_ratio, anchors)
            dropped.scatter_(1, anchors[:, None], False)
        similarities = [
            max_similarity(view, audio, mask, self.masked_value) for view, mask in zip(vision, masks, strict=True)
        ]
        loss = sum(
            cross_entropy(similarity.masked_fill(dropped, MASKED_LOGIT) / self.temperature, anchors)
            for similarity in similarities
        )
        return loss, loss_diagnostics(similarities, audio, masks, anchors, self.masked_value)


def max_similarity(vision: Tensor, audio: Tensor, mask: Tensor, masked_value: float) -> Tensor:
    """The largest cosine of each image's masked cells with each sound; cells outside the mask count as `masked_value`.

    vision: (B, C, H, W), audio: (N, C), both normalised; mask: (B, H, W) bool. Returns (B, N). Where there are many
    pairs, their (B, N, H, W) cosines are never held all at once: a few images' at a time, and again on the way back.
    """

    def chunk(vision, mask):
        return einsum("ichw,jc->ijhw", vision, audio).masked_fill(~mask[:, None], masked_value).amax(dim=(2, 3))

    images = max(1, PAIR_CELLS // (len(audio) * mask[0].numel()))
    if images >= len(vision):
        return chunk(vision, mask)
    parts = zip(vision.split(images), mask.split(images), strict=True)
    return torch.cat([checkpoint(chunk, *part, use_reentrant=False, preserve_rng_state=False) for part in parts])


def retained_cells(similarity: Tensor, ratio: float) -> Tensor:
    """Cells of each map strictly above its value of rank int(H W ratio): (B, H, W) -> (B, H, W) bool."""
    values = similarity.flatten(1).sort(dim=1).values
    rank = min(int(values.shape[1] * ratio), values.shape[1] - 1)
    return similarity > values[:, rank, None, None]


def positive_masks(retained: list[Tensor], regions: list[Tensor]) -> list[Tensor]:
    """Cells of the two views that count as the sounding object (SACL, step 3).

    retained: list of two (B, H, W) bool; regions: list of two (B, 1, H', W') labels. Of the regions in both views,
    the one with the most retained cells of view 1 is chosen (the smallest label of several). Returns a list of two
    (B, H, W) bool: in view 1 the retained cells of that region; in view 2 the same, or the whole region where it has
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


def negatives(sound: Tensor, ratio: float, anchors: Tensor | slice = slice(None)) -> Tensor:
    """Clips that are no false negatives: the int(N ratio) whose sound is least like the anchor's.

    sound: (N, 128); anchors: the rows to look at. Returns (anchors, N) bool; the anchor itself may be among them.
    """
    sound = normalize(sound)
    similarity = sound[anchors] @ sound.T
    least = similarity.topk(int(len(sound) * ratio), dim=1, largest=False).indices
    return torch.zeros_like(similarity, dtype=torch.bool).scatter(1, least, True)


@torch.no_grad()
def loss_diagnostics(similarities, audio, masks, anchors, masked_value) -> dict[str, Diagnostic]:
    """Early signs of trouble, all in 0 ... 1, means over both views.

    similarities: two (B, N). audio: (N, C), normalised. masks: two (B, H, W).
    similarity_spread: standard deviation of an image's similarities to the sounds. sound_spread: see audio_spread.
    empty_masks: share of anchors without a cell to learn from. positives_without_gradient: share of anchors whose own
    similarity is masked_value.
    """
    positives = torch.stack([similarity.gather(1, anchors[:, None]) for similarity in similarities])
    return {
        "similarity_spread": similarity_spread(torch.stack(similarities)),
        "sound_spread": audio_spread(audio),
        "empty_masks": Diagnostic(
            (~torch.stack(masks).any(dim=(2, 3))).float().mean(),
            0.5,
            True,
            "most anchors have an empty mask, and so no cell to learn from",
        ),
        "positives_without_gradient": Diagnostic(
            (positives == masked_value).float().mean(), 0.5, True, "most anchors' own sound gets no gradient"
        ),
    }


class SACLObjective(nn.Module):
    """The loss of this process's images and the sounds of all processes, or only its own (as published).

    With all of them, several processes compute the loss of one with the same global batch.
    """

    def __init__(self, criterion: SACLLoss, local_negatives: bool = False):
        super().__init__()
        self.criterion, self.local_negatives = criterion, local_negatives

    def forward(self, outputs, batch: dict) -> tuple[Tensor, dict[str, Diagnostic]]:
        """outputs of SACL.forward; batch["regions"]: list of two (B, 1, H', W') label maps."""
        vision, audio, sound = outputs
        if self.local_negatives:
            return self.criterion.with_diagnostics(vision, audio, sound, batch["regions"])
        row_offset = rank() * len(audio)
        return self.criterion.with_diagnostics(vision, gather(audio), gather(sound), batch["regions"], row_offset)


def build_model(args) -> SACL:
    """Weights are the pair args.weights_frame and args.weights_sound where given; else random if
    args.train_from_scratch; else the published ImageNet ResNet-18 and VGGish (args.weights_resnet_imgnet,
    args.weights_vggish), with a random head."""
    model = SACL(FrameNet(), SoundNet())
    if args.weights_frame or args.weights_sound:
        if not (args.weights_frame and args.weights_sound):
            raise ValueError("--weights_frame and --weights_sound belong together: give both")
        load_weights(model.frame_net, args.weights_frame, SACL_URL, unused=["fc."])
        load_weights(model.sound_net, args.weights_sound, SACL_URL)
    elif not args.train_from_scratch:
        other = "or train without it: --train_from_scratch 1"
        load_weights(model.frame_net, args.weights_resnet_imgnet, f"{RESNET_URL}, {other}", unused=["fc."])
        load_weights(model.sound_net, args.weights_vggish, f"{VGGISH_URL}, {other}", absent=["fc."])
    return model


def build_objective(args) -> SACLObjective:
    criterion = SACLLoss(args.tempD, args.ratio_retain_sim, args.ratio_neg, args.masked_max)
    return SACLObjective(criterion, args.local_negatives)
