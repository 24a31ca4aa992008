"""LVS: localising visual sounds the hard way (Chen et al., CVPR 2021), contrast with a tri-map of each image."""

from argparse import Namespace

import torch
from torch import Tensor, einsum, nn
from torch.nn.functional import cross_entropy, normalize

from models.diagnostics import Diagnostic, audio_spread
from models.gather import gather, rank
from models.resnet import FrameNet, TwoResNets, at_least_float32, initialise

LVS_URL = (
    "a run of main.py --method lvs, or the authors' release at "
    "https://github.com/hche11/Localizing-Visual-Sounds-the-Hard-Way"
)


class Trunk(FrameNet):
    """ResNet-18 with layer4 at stride 1: (B, channels, H, W) -> (B, 512, H / 16, W / 16), >= 0.

    stem: the first layer, "conv1" for images (3 channels) or "conv1_a" for spectrograms (1). The published checkpoints
    hold both in each trunk, with a third stem and a classifier. What is not used is kept for their sake, and frozen.
    """

    def __init__(self, stem: str):
        super().__init__()
        self.stem = stem
        self.conv1_a = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.conv1_flow = nn.Conv2d(6, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.fc = nn.Linear(512, 1000)
        # Parameters without a gradient would be an error of DistributedDataParallel.
        for name in {"conv1", "conv1_a", "conv1_flow", "fc"} - {stem}:
            self.get_submodule(name).requires_grad_(False)

    def forward(self, inputs: Tensor) -> Tensor:
        features = self.maxpool(self.relu(self.bn1(self.get_submodule(self.stem)(inputs))))
        return self.layer4(self.layer3(self.layer2(self.layer1(features))))


class LVS(TwoResNets):
    """Two trunks whose features meet in one space, without projections.

    Parameter names are those of the published checkpoints.
    """

    def __init__(self):
        super().__init__(trunks=(Trunk("conv1"), Trunk("conv1_a")))
        initialise(self.imgnet)

    def forward(self, views: list[Tensor], audio: Tensor) -> tuple[Tensor, Tensor]:
        """Features for the loss, not normalised, float32 also under autocast.

        views: a list of one (B, 3, H, W), ImageNet-normalised; audio: (B, 1, 257, T) log spectrograms, T = 671 for the
        method's 10 s. Returns vision (B, 512, H / 16, W / 16) and audio (B, 512).
        """
        (image,) = views
        return self.project_image(image), self.project_sound(audio)

    def project_image(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 512, H / 16, W / 16), not normalised."""
        return at_least_float32(self.imgnet(image))

    def project_sound(self, audio: Tensor) -> Tensor:
        """(B, 1, 257, T) -> (B, 512), not normalised: the maximum over time and frequency."""
        return at_least_float32(self.audnet(audio).amax(dim=(2, 3)))


class LVSLoss(nn.Module):
    """Contrast of an image's foreground with other sounds' foregrounds in it, and with its own background.

    With cosines S_ij(p) of place p of image i and sound j, soft masks divide an image into a foreground (cosine above
    `foreground`), a background (below `background`), and what lies between, which is ignored (the tri-map):

        E_ij = mean of S_ij over places, weighted by sigmoid((S_ij(p) - foreground) / sharpness)
        H_i  = mean of S_ii over places, weighted by sigmoid((background - S_ii(p)) / sharpness)
        loss = mean over i of -log softmax([E_ii, E_i1, ..., E_iN without E_ii, H_i] / temperature)[0]

    The authors' program differs in two points, which published_diagonal repeats. (1) It drops E_ii from the negatives
    by a factor of -99, which does so while E_ii > 0; where E_ii < 0, the entry becomes the largest by far, and the loss
    exceeds 1000. Here it is masked with -inf. (2) It computes the background's weights as 1 - sigmoid(...). In float32
    all of them are 0 where a whole map exceeds 0.92, and the loss is 0 / 0. The form above is the same number, without
    the difference that rounds to 0: no sum of weights is empty.

    With several processes the sounds are those of all, and the mean over processes is the loss (and, of the gradients,
    the gradient) of one process with the same global batch. local_negatives: those of this process only, as published.

    Args:
        tri_map: False takes `foreground` for both thresholds, so that no place is ignored.
        background_negatives: False leaves out H_i.
        temperature, foreground, background, sharpness: as published.
    """

    def __init__(
        self,
        published_diagonal: bool = False,
        local_negatives: bool = False,
        tri_map: bool = True,
        background_negatives: bool = True,
        temperature: float = 0.07,
        foreground: float = 0.65,
        background: float = 0.4,
        sharpness: float = 0.03,
    ):
        super().__init__()
        self.published_diagonal, self.local_negatives = published_diagonal, local_negatives
        self.background_negatives, self.temperature = background_negatives, temperature
        self.foreground, self.sharpness = foreground, sharpness
        self.background = background if tri_map else foreground

    def forward(self, vision: Tensor, audio: Tensor) -> Tensor:
        """vision: (B, C, h, w), audio: (B, C), of the same clips, not normalised. Returns a scalar."""
        return self.contrast(*self.pool(vision, audio))

    def pool(self, vision: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        """E (B, N) of the images and the N sounds of all processes, and H (B,)."""
        audio = audio if self.local_negatives else gather(audio)
        maps = einsum("ichw,jc->ijhw", normalize(vision), normalize(audio)).flatten(2)
        pairs = weighted_mean(maps, torch.sigmoid((maps - self.foreground) / self.sharpness))
        own = maps[torch.arange(len(maps)), self._anchors(maps)]
        if self.published_diagonal:
            weights = 1 - torch.sigmoid((own - self.background) / self.sharpness)
        else:
            weights = torch.sigmoid((self.background - own) / self.sharpness)
        return pairs, weighted_mean(own, weights)

    def contrast(self, pairs: Tensor, background: Tensor) -> Tensor:
        """The loss of pool's E and H."""
        logits = self.logits(pairs, background)
        return cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))

    def logits(self, pairs: Tensor, background: Tensor) -> Tensor:
        """E (B, N) and H (B,) -> (B, N + 2): the positive first, the sounds, the background last (where used)."""
        anchors = self._anchors(pairs)[:, None]
        positive = pairs.gather(1, anchors)
        dropped = -99 * positive if self.published_diagonal else torch.full_like(positive, -torch.inf)
        rows = [positive, pairs.scatter(1, anchors, dropped), background[:, None]]
        return torch.cat(rows if self.background_negatives else rows[:2], dim=1) / self.temperature

    def _anchors(self, rows: Tensor) -> Tensor:
        """The places of this process's clips among the sounds of all."""
        first = 0 if self.local_negatives else rank() * len(rows)
        return torch.arange(first, first + len(rows), device=rows.device)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """(..., n), (..., n) -> (...)."""
    return (weights * values).sum(dim=-1) / weights.sum(dim=-1)


class LVSObjective(nn.Module):
    """The loss with its diagnostics."""

    def __init__(self, criterion: LVSLoss):
        super().__init__()
        self.criterion = criterion

    def forward(self, outputs: tuple[Tensor, Tensor], batch: dict) -> tuple[Tensor, dict[str, Diagnostic]]:
        """outputs of LVS.forward; of the batch nothing else is read. Returns the scalar loss and the diagnostics."""
        vision, audio = outputs
        pairs, background = self.criterion.pool(vision, audio)
        return self.criterion.contrast(pairs, background), diagnostics_of(pairs, audio)


@torch.no_grad()
def diagnostics_of(pairs: Tensor, audio: Tensor) -> dict[str, Diagnostic]:
    """pairs: (B, N) of images and sounds; audio: (B, C), not normalised.

    Features after a ReLU, without a projection, start out alike: with random weights the spread of the similarities is
    3e-4 to 1e-3, where EZ-VSL's are above 1e-3.
    """
    collapse = "collapse: an image is as similar to one sound as to any other"
    return {
        "similarity_spread": Diagnostic(pairs.std(dim=1, correction=0).mean(), 3e-5, False, collapse),
        "sound_spread": audio_spread(normalize(audio)),
    }


def build_model(args: Namespace) -> LVS:
    """Weights are those of the checkpoint args.weights where given; else the visual trunk's are the published ImageNet
    weights (args.weights_resnet_imgnet) unless args.train_from_scratch, and all else is random. The authors' program
    starts from scratch: the lines that load ImageNet weights are commented out."""
    model = LVS()
    model.load(args, LVS_URL)
    return model


def build_objective(args: Namespace) -> LVSObjective:
    return LVSObjective(LVSLoss(args.published_diagonal, args.local_negatives))
