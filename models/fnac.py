"""FNAC: false negative aware contrastive learning (Sun et al., "Learning audio-visual source localization via false
negative aware contrastive learning", CVPR 2023): EZ-VSL's networks with dropout, and three terms beside its loss."""

from argparse import Namespace

from torch import Tensor, einsum, nn
from torch.nn.functional import normalize

from models.diagnostics import Diagnostic, audio_spread, similarity_spread
from models.ezvsl import EZVSL, EZVSLLoss
from models.gather import gather

FNAC_URL = "a run of main.py --method fnac, or the authors' release at https://github.com/OpenNLPLab/FNAC_AVL"
FOREGROUND = 0.6  # of a pair's own map, stretched to [0, 1]: what lies above counts as the sounding object


class FNACLoss(EZVSLLoss):
    """EZ-VSL's loss, and how far distributions over the batch differ that should be alike.

    Clips whose sounds, or images, are alike are false negatives of each other (FNS-1, FNS-2: their similarity across
    modalities is drawn to that within one); where sounds differ, the sounding objects are to differ as well (TNS).

    weight: of these three terms. Several processes: as of EZVSLLoss.
    """

    def __init__(self, temperature: float = 0.03, local_negatives: bool = False, weight: float = 100.0):
        super().__init__(temperature, local_negatives)
        self.weight = weight

    def forward(self, vision: Tensor, audio: Tensor, warm_up: bool = False) -> Tensor:
        """vision: (B, C, h, w), audio: (B, C), of the same clips, not normalised. warm_up: EZ-VSL's loss alone.
        Returns a scalar."""
        return self.of_cosines(self.cosines(vision, audio), vision, audio, warm_up)

    def of_cosines(self, cosines: Tensor, vision: Tensor, audio: Tensor, warm_up: bool = False) -> Tensor:
        """The same loss; cosines: (B, N), the largest of each image's places with each of N sounds."""
        loss = self.contrast(cosines)
        return loss if warm_up else loss + self.weight * sum(self.false_negative_terms(cosines, vision, audio))

    def false_negative_terms(self, cosines: Tensor, vision: Tensor, audio: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """FNS-1, TNS and FNS-2, scalars."""
        vision, audio = normalize(vision), normalize(audio)
        own = einsum("ichw,ic->ihw", vision, audio).detach() / self.temperature
        low, high = own.amin(dim=(1, 2), keepdim=True), own.amax(dim=(1, 2), keepdim=True)
        foreground = (own - low) / (high - low + 1e-5) > FOREGROUND

        across = (cosines / self.temperature).softmax(dim=1)
        sounds = self.likeness(audio)
        images = self.likeness(vision.mean(dim=(2, 3)))
        objects = self.likeness((vision * foreground[:, None]).mean(dim=(2, 3)))
        return (sounds - across).abs().mean(), (sounds - objects).abs().mean(), (images - across).abs().mean()

    def likeness(self, features: Tensor) -> Tensor:
        """Softmax over all N clips of their features' products with one clip's: (B, C) -> (B, N)."""
        every = features if self.local_negatives else gather(features)
        return (features @ every.T / self.temperature).softmax(dim=1)


class FNACObjective(nn.Module):
    """The loss with its diagnostics. warmup: epochs with EZ-VSL's loss alone, 5 in the authors' scripts."""

    def __init__(
        self, temperature: float = 0.03, local_negatives: bool = False, weight: float = 100.0, warmup: int = 5
    ):
        super().__init__()
        self.criterion, self.warmup = FNACLoss(temperature, local_negatives, weight), warmup

    def forward(self, outputs: tuple[Tensor, Tensor], batch: dict) -> tuple[Tensor, dict[str, Diagnostic]]:
        """outputs of EZVSL.forward; batch["epoch"]: finished epochs. Returns the scalar loss and the diagnostics."""
        vision, audio = outputs
        cosines = self.criterion.cosines(vision, audio)
        diagnostics = {"similarity_spread": similarity_spread(cosines), "sound_spread": audio_spread(normalize(audio))}
        return self.criterion.of_cosines(cosines, vision, audio, batch["epoch"] < self.warmup), diagnostics


def build_model(args: Namespace) -> EZVSL:
    """Weights are those of the checkpoint args.weights where given; else the visual trunk's are the published ImageNet
    weights (args.weights_resnet_imgnet) unless args.train_from_scratch, and all else is random."""
    model = EZVSL(args.dropout_img, args.dropout_aud)
    model.load(args, FNAC_URL)
    return model


def build_objective(args: Namespace) -> FNACObjective:
    return FNACObjective(args.temperature, args.local_negatives, args.fnac_weight, args.warmup)
