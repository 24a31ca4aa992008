"""SLAVC (Mo and Morgado, "A closer look at weakly-supervised audio-visual source localization", NeurIPS 2022).

Its map is a cosine with an absolute scale: (map + 1) / 2 is the score of each place, and the mean of the top quarter is
the confidence that something sounds.
"""

from argparse import Namespace
from copy import deepcopy

import torch
from torch import Tensor, einsum, nn
from torch.nn.functional import cross_entropy, normalize

from models.diagnostics import Diagnostic, audio_spread, similarity_spread
from models.gather import gather, rank
from models.resnet import TwoResNets, at_least_float32, initialise

SLAVC_URL = "a run of main.py --method slavc, or the authors' release at https://github.com/stoneMo/SLAVC"
NETWORKS = ("imgnet", "audnet", "img_proj1", "img_proj2", "aud_proj1", "aud_proj2")


class SLAVC(TwoResNets):
    """Two ResNet-18 with two projections each, and a momentum copy of all of them that gives the targets.

    Parameter names are those of the published checkpoints. momentum: share of a target weight that a step keeps.
    dropout_img, dropout_aud: between trunk and projections, of both copies. use_mom_eval: localise with the momentum
    copy, not the trained one.
    """

    def __init__(
        self,
        momentum: float = 0.999,
        dropout_img: float = 0.9,
        dropout_aud: float = 0.0,
        use_mom_eval: bool = False,
    ):
        super().__init__(dropout_img, dropout_aud)
        self.momentum, self.use_mom_eval = momentum, use_mom_eval
        self.img_proj1, self.img_proj2 = (nn.Conv2d(512, 512, kernel_size=1) for _ in range(2))
        self.aud_proj1, self.aud_proj2 = (nn.Linear(512, 512) for _ in range(2))
        for projection in (self.img_proj1, self.img_proj2):
            initialise(projection)
        for projection in (self.aud_proj1, self.aud_proj2):
            nn.init.normal_(projection.weight, std=0.01)
        for name in NETWORKS:
            self.add_module(f"momentum_{name}", deepcopy(self.get_submodule(name)).requires_grad_(False))

    def load(self, args: Namespace, source: str) -> None:
        """As TwoResNets.load. Unless a checkpoint holds them, the momentum copy starts as the trained networks do."""
        super().load(args, source)
        if not args.weights:
            for name in NETWORKS:
                self.get_submodule(f"momentum_{name}").load_state_dict(self.get_submodule(name).state_dict())

    @torch.no_grad()
    def begin_step(self) -> None:
        """Moves the momentum copy towards the trained weights: once a step, before its forward passes.

        Its batch norms' running statistics are not moved: they are those of its own forward passes.
        """
        for name in NETWORKS:
            targets = self.get_submodule(f"momentum_{name}").parameters()
            for target, weight in zip(targets, self.get_submodule(name).parameters(), strict=True):
                target.lerp_(weight, 1 - self.momentum)

    def forward(self, views: list[Tensor], audio: Tensor) -> tuple[list[Tensor], ...]:
        """Features for the loss, not normalised, float32 also under autocast.

        views: a list of one (B, 3, H, W), ImageNet-normalised; audio: (B, 1, 257, T) log spectrograms.
        Returns vision, a list of two (B, 512, H / 32, W / 32), a projection each, and audio, a list of two (B, 512);
        and the momentum copy's, target_vision and target_audio, alike and without gradient.
        """
        (image,) = views
        online = self._project_image(image), self._project_sound(audio)
        with torch.no_grad():
            return *online, self._project_image(image, "momentum_"), self._project_sound(audio, "momentum_")

    def _project_image(self, image: Tensor, copy: str = "") -> list[Tensor]:
        features = self.img_dropout(self.get_submodule(f"{copy}imgnet")(image))
        return [at_least_float32(self.get_submodule(f"{copy}img_proj{k}")(features)) for k in (1, 2)]

    def _project_sound(self, audio: Tensor, copy: str = "") -> list[Tensor]:
        features = self.aud_dropout(self.get_submodule(f"{copy}audnet")(audio).amax(dim=(2, 3)))
        return [at_least_float32(self.get_submodule(f"{copy}aud_proj{k}")(features)) for k in (1, 2)]

    def encode_image(self, image: Tensor) -> Tensor:
        """Unit vectors of the places of images: (B, 3, H, W) -> (B, 1024, H / 32, W / 32), both projections behind one
        another, so that their cosine with those of a sound is the mean of both projections' cosines."""
        return both(self._project_image(image, "momentum_" if self.use_mom_eval else ""))

    def encode_sound(self, audio: Tensor) -> Tensor:
        """Unit vectors of sounds: (B, 1, 257, T) -> (B, 1024), both projections behind one another."""
        return both(self._project_sound(audio, "momentum_" if self.use_mom_eval else ""))


def both(projections: list[Tensor]) -> Tensor:
    """Two (B, C, ...) -> unit vectors (B, 2 C, ...), each half with the same weight."""
    return torch.cat([normalize(features) for features in projections], dim=1) / 2**0.5


class SLAVCLoss(nn.Module):
    """Classifies the sound that belongs to an image, with the trained networks' image and the momentum copy's sounds,
    and with the momentum copy's image and the trained networks' sounds. The first projection compares sounds, the
    second one places of the image.

    With several processes the sounds are those of all, and the mean over processes is the loss (and, of the gradients,
    the gradient) of one process with the same global batch. local_negatives: those of this process only, as published.
    """

    def __init__(self, temperature: float = 0.03, local_negatives: bool = False):
        super().__init__()
        self.temperature, self.local_negatives = temperature, local_negatives

    def forward(
        self,
        vision: list[Tensor],
        audio: list[Tensor],
        target_vision: list[Tensor],
        target_audio: list[Tensor],
    ) -> Tensor:
        """vision, target_vision: lists of two (B, C, h, w), a projection each; audio, target_audio: lists of two
        (B, C); of the same clips, not normalised. Returns a scalar. Targets get no gradient."""
        first = 0 if self.local_negatives else rank() * len(audio[0])
        own = torch.arange(first, first + len(audio[0]), device=audio[0].device)
        targets = [features.detach() for features in target_vision], [features.detach() for features in target_audio]
        # Rows are images in both terms, as in the authors' program.
        return cross_entropy(self.scores(vision, targets[1]), own) + cross_entropy(self.scores(targets[0], audio), own)

    def scores(self, vision: list[Tensor], audio: list[Tensor]) -> Tensor:
        """ln of the sum over places p of softmax over sounds j (projection 1) x softmax over places (projection 2):
        lists of two (B, C, h, w) and (B, C) -> (B, N), B images, N sounds."""
        which, where = (self.cosines(*pair) / self.temperature for pair in zip(vision, audio, strict=True))
        return (which.log_softmax(dim=1) + where.log_softmax(dim=2)).logsumexp(dim=2)

    def cosines(self, vision: Tensor, audio: Tensor) -> Tensor:
        """Cosines of each image's places with each of N sounds: (B, C, h, w), (B, C) -> (B, N, h w)."""
        audio = audio if self.local_negatives else gather(audio)
        return einsum("ichw,jc->ijhw", normalize(vision), normalize(audio)).flatten(2)


class SLAVCObjective(nn.Module):
    """The loss with its diagnostics."""

    def __init__(self, temperature: float = 0.03, local_negatives: bool = False):
        super().__init__()
        self.criterion = SLAVCLoss(temperature, local_negatives)

    def forward(self, outputs: tuple[list[Tensor], ...], batch: dict) -> tuple[Tensor, dict[str, Diagnostic]]:
        """outputs of SLAVC.forward; of the batch nothing else is read. Returns the scalar loss and the diagnostics."""
        vision, audio = outputs[:2]
        with torch.no_grad():
            strongest = self.criterion.cosines(vision[0], audio[0]).amax(dim=2)
            diagnostics = {"similarity_spread": similarity_spread(strongest), "sound_spread": audio_spread(both(audio))}
        return self.criterion(*outputs), diagnostics


def build_model(args: Namespace) -> SLAVC:
    """Weights are those of the checkpoint args.weights where given; else the visual trunks' are the published ImageNet
    weights (args.weights_resnet_imgnet) unless args.train_from_scratch, and all else is random."""
    model = SLAVC(args.slavc_momentum, args.dropout_img, args.dropout_aud, args.use_mom_eval)
    model.load(args, SLAVC_URL)
    return model


def build_objective(args: Namespace) -> SLAVCObjective:
    return SLAVCObjective(args.temperature, args.local_negatives)
