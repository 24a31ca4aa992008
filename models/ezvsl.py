"""EZ-VSL: localising visual sounds the easy way (Mo and Morgado, ECCV 2022), multiple-instance contrastive learning."""

from argparse import Namespace

import torch
from torch import Tensor, einsum, nn
from torch.nn.functional import cross_entropy, normalize

from models.diagnostics import Diagnostic, audio_spread, similarity_spread
from models.gather import gather, rank
from models.resnet import TwoResNets, at_least_float32, initialise

EZVSL_URL = "a run of main.py --method ezvsl, or the authors' release at https://github.com/stoneMo/EZ-VSL"


class EZVSL(TwoResNets):
    """Two ResNet-18, each with a projection, whose features meet in one space.

    Parameter names are those of the published checkpoints. dropout_img, dropout_aud: between trunk and projection,
    which only FNAC has.
    """

    def __init__(self, dropout_img: float = 0.0, dropout_aud: float = 0.0):
        super().__init__(dropout_img, dropout_aud)
        self.img_proj, self.aud_proj = nn.Conv2d(512, 512, kernel_size=1), nn.Linear(512, 512)
        initialise(self.img_proj)
        nn.init.normal_(self.aud_proj.weight, std=0.01)

    def forward(self, views: list[Tensor], audio: Tensor) -> tuple[Tensor, Tensor]:
        """Features for the loss, not normalised, float32 also under autocast.

        views: a list of one (B, 3, H, W), ImageNet-normalised; audio: (B, 1, 257, T) log spectrograms.
        Returns vision (B, 512, H / 32, W / 32) and audio (B, 512).
        """
        (image,) = views
        return self.project_image(image), self.project_sound(audio)

    def project_image(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 512, H / 32, W / 32), not normalised."""
        return at_least_float32(self.img_proj(self.img_dropout(self.imgnet(image))))

    def project_sound(self, audio: Tensor) -> Tensor:
        """(B, 1, 257, T) -> (B, 512), not normalised: the maximum over time and frequency, projected."""
        return at_least_float32(self.aud_proj(self.aud_dropout(self.audnet(audio).amax(dim=(2, 3)))))


class EZVSLLoss(nn.Module):
    """Contrast of images and sounds in both directions, an image being as similar to a sound as its best place.

    With several processes the negatives are those of all, and the mean over processes is the loss (and, of the
    gradients, the gradient) of one process with the same global batch. local_negatives: those of this process only, as
    published.
    """

    def __init__(self, temperature: float = 0.03, local_negatives: bool = False):
        super().__init__()
        self.temperature, self.local_negatives = temperature, local_negatives

    def forward(self, vision: Tensor, audio: Tensor) -> Tensor:
        """vision: (B, C, h, w), audio: (B, C), of the same clips, not normalised. Returns a scalar."""
        return self.contrast(self.cosines(vision, audio))

    def cosines(self, vision: Tensor, audio: Tensor) -> Tensor:
        """The largest cosine of each image's places with each of N sounds: (B, C, h, w), (B, C) -> (B, N)."""
        audio = audio if self.local_negatives else gather(audio)
        return einsum("ichw,jc->ijhw", normalize(vision), normalize(audio)).amax(dim=(2, 3))

    def contrast(self, cosines: Tensor) -> Tensor:
        """The loss of cosines (B, N): of images among sounds by rows, of sounds among images by columns."""
        first = 0 if self.local_negatives else rank() * len(cosines)
        own = torch.arange(first, first + len(cosines), device=cosines.device)
        rows = cosines / self.temperature
        # Each process has the rows of its images. The columns of its sounds need those of all images: N x N numbers
        # are less to exchange than the images' features.
        columns = (rows if self.local_negatives else gather(rows)).T[own]
        return cross_entropy(rows, own) + cross_entropy(columns, own)


class EZVSLObjective(nn.Module):
    """The loss with its diagnostics."""

    def __init__(self, temperature: float = 0.03, local_negatives: bool = False):
        super().__init__()
        self.criterion = EZVSLLoss(temperature, local_negatives)

    def forward(self, outputs: tuple[Tensor, Tensor], batch: dict) -> tuple[Tensor, dict[str, Diagnostic]]:
        """outputs of EZVSL.forward; of the batch nothing else is read. Returns the scalar loss and the diagnostics."""
        vision, audio = outputs
        cosines = self.criterion.cosines(vision, audio)
        diagnostics = {"similarity_spread": similarity_spread(cosines), "sound_spread": audio_spread(normalize(audio))}
        return self.criterion.contrast(cosines), diagnostics


def build_model(args: Namespace) -> EZVSL:
    """Weights are those of the checkpoint args.weights where given; else the visual trunk's are the published ImageNet
    weights (args.weights_resnet_imgnet) unless args.train_from_scratch, and all else is random."""
    model = EZVSL()
    model.load(args, EZVSL_URL)
    return model


def build_objective(args: Namespace) -> EZVSLObjective:
    return EZVSLObjective(args.temperature, args.local_negatives)
