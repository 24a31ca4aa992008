"""SSL-TIE: LVS with a transformed copy of each image, whose map has to follow the transformation (Liu et al.,
"Exploiting transformation invariance and equivariance for self-supervised sound localisation", ACM Multimedia 2022)."""

import random
from argparse import Namespace
from math import pi

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample, interpolate, mse_loss, normalize

from models.diagnostics import Diagnostic
from models.gather import gather, rank, world_size
from models.lvs import LVS, LVSLoss, diagnostics_of

SSLTIE_URL = "a run of main.py --method ssltie, or the authors' release at https://github.com/jinxiang-liu/SSL-TIE"

CANVAS = 224  # side of the square that is rotated, in pixels, whatever is transformed
FRAMES_MASKED, BANDS_MASKED = 180, 35  # of a spectrogram, at most
EMPTY = -100.0  # dB, of a masked cell


class SSLTIE(LVS):
    """LVS's two trunks, and the drawing of transformations.

    Args:
        max_angle: of the rotation, in degrees.
        mask_sounds: probability that a spectrogram is masked (SpecAugment; Park et al., Interspeech 2019).
    """

    def __init__(self, max_angle: int = 30, mask_sounds: float = 0.8):
        super().__init__()
        self.max_angle, self.mask_sounds = max_angle, mask_sounds
        # In the published checkpoints, without an effect on any output.
        self.vision_fc1, self.conv3, self.norm3 = nn.Conv2d(1024, 512, 1), nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)
        for unused in (self.vision_fc1, self.conv3, self.norm3):
            unused.requires_grad_(False)

    def forward(self, views: list[Tensor], audio: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Features for the loss, not normalised, float32 also under autocast.

        views: a list of one (B, 3, H, H), ImageNet-normalised; audio: (B, 1, 257, T) mel spectrograms in dB, T = 670
        for the method's 10 s. Returns vision, a list of (B, 512, H / 16, H / 16) and of the transformed images'
        features, of the same size or half of it; audio (B, 512); and the transformation, (B, 3), of
        draw_transformation.

        The authors' program runs the sound network twice, with the same spectrograms. The result is the same, but that
        its running statistics move twice.
        """
        (image,) = views
        drawn = self._draw(image, audio)
        side = int(image.shape[-1] * drawn[0, 0])
        drawn = drawn.to(image.device, non_blocking=True)
        transformation, cells = drawn[:, :3], drawn[:, 3:]
        vision = [self.project_image(x) for x in (image, transform(image, transformation, side))]
        return vision, self.project_sound(masked(audio, cells)), transformation

    def _draw(self, image, audio):
        """Of this process's samples, the transformation and the masked cells: (B, 7) on the CPU.

        Drawn once a batch from Python's random numbers, for the samples of all processes by the first of them: several
        processes do what one would with the same global batch.
        """
        count = len(image) * world_size()
        drawn = [draw_transformation(count, self.max_angle), draw_cells(count, self.mask_sounds, *audio.shape[2:])]
        drawn = torch.cat(drawn, dim=1)
        if world_size() > 1:
            drawn = gather(drawn[None].to(image.device))[0].cpu()
        return drawn[rank() * len(image) :][: len(image)]


def draw_transformation(count: int, max_angle: int) -> Tensor:
    """What happens to `count` images: (count, 3) of scale, angle in degrees and flip.

    scale: 1 or 0.5, and flip: 0 or 1, with equal probabilities, the same for all images. angle: whole, from
    U{-max_angle, ..., max_angle}, of each image. In the order of the authors' program.
    """
    scale = 1.0 if random.random() > 0.5 else 0.5
    angles = [random.randint(-max_angle, max_angle) for _ in range(count)]
    flip = float(random.random() > 0.5)
    return torch.tensor([[scale, angle, flip] for angle in angles])


def transform(pictures: Tensor, transformation: Tensor, side: int) -> Tensor:
    """Rotates, shrinks and flips images, or the maps that belong to them.

    Args:
        pictures: (B, C, h, h), resized to 224 x 224 first, where the rotation about pixel (112, 112) takes place.
            What it brings in from outside is 0.
        transformation: (B, 3), see draw_transformation. A scale of 0.5 acts twice, as published: the picture takes half
            of the canvas's sides, and the canvas is then resized.
        side: of the result, int(h scale) for an image.

    Returns (B, C, side, side).
    """
    # autocast would round the coordinates to bfloat16.
    with torch.autocast(pictures.device.type, enabled=False):
        scale, angle, flip = transformation.to(pictures.dtype).unbind(1)
        if pictures.shape[-2:] != (CANVAS, CANVAS):
            pictures = interpolate(pictures, (CANVAS, CANVAS), mode="bilinear")
        # From a place of the result to that in the picture, both in -1 ... 1 between the centres of the outer pixels.
        sine, cosine = torch.sin(angle * pi / 180) / scale, torch.cos(angle * pi / 180) / scale
        centre = 2 * (CANVAS / 2) / (CANVAS - 1) - 1
        rows = [cosine, -sine, centre * (1 - cosine + sine), sine, cosine, centre * (1 - sine - cosine)]
        grid = affine_grid(torch.stack(rows, dim=1).view(-1, 2, 3), pictures.shape, align_corners=True)
        turned = grid_sample(pictures, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
        if side != CANVAS:
            turned = interpolate(turned, (side, side), mode="bilinear")
    return torch.where(flip[:, None, None, None] > 0, turned.flip(-1), turned)


def draw_cells(count: int, probability: float, bands: int, frames: int) -> Tensor:
    """Cells to mask in `count` spectrograms: (count, 4) of the first frame, frames, the first band and bands."""
    cells = torch.zeros(count, 4)
    for row in cells:
        if random.random() < probability:
            for i, (size, most) in enumerate([(frames, FRAMES_MASKED), (bands, BANDS_MASKED)]):
                length = random.uniform(0, most)
                row[2 * i], row[2 * i + 1] = int(random.uniform(0, size - length)), int(length)
    return cells


def masked(audio: Tensor, cells: Tensor) -> Tensor:
    """(B, 1, bands, frames) spectrograms in dB without the cells (B, 4) of draw_cells."""
    first_frame, frames, first_band, bands = cells[:, :, None].unbind(1)
    band, frame = (torch.arange(size, device=audio.device) for size in audio.shape[2:])
    in_time = (frame >= first_frame) & (frame < first_frame + frames)
    in_frequency = (band >= first_band) & (band < first_band + bands)
    return audio.masked_fill(in_time[:, None, None, :] | in_frequency[:, None, :, None], EMPTY)


class SSLTIELoss(nn.Module):
    """LVS's loss of the images and of the transformed ones, and the distance of their maps.

        loss = (LVS(x) + LVS(T x)) / 2 + weight * mean (H(T x) - T H(x))^2

    H: cosine map of an image and its own sound; T: a transformation. The gradient flows into both maps.

    Args:
        lvs: the loss of LVS. weight: of the distance.
    """

    def __init__(self, lvs: LVSLoss | None = None, weight: float = 1.0):
        super().__init__()
        self.lvs, self.weight = lvs or LVSLoss(), weight

    def forward(self, vision: list[Tensor], audio: Tensor, transformation: Tensor) -> Tensor:
        """The outputs of SSLTIE.forward. Returns a scalar."""
        return self.with_pairs(vision, audio, transformation)[0]

    def with_pairs(self, vision: list[Tensor], audio: Tensor, transformation: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and the similarities (B, N) of the images that were not transformed to the sounds."""
        pooled = [self.lvs.pool(features, audio) for features in vision]
        contrasts = [self.lvs.contrast(*terms) for terms in pooled]
        return sum(contrasts) / 2 + self.weight * self.distance(vision, audio, transformation), pooled[0][0]

    def distance(self, vision: list[Tensor], audio: Tensor, transformation: Tensor) -> Tensor:
        """The mean square between the transformed images' maps and the images' transformed maps, a scalar."""
        audio = normalize(audio)
        maps, of_transformed = (torch.einsum("bchw,bc->bhw", normalize(part), audio)[:, None] for part in vision)
        return mse_loss(of_transformed, transform(maps, transformation, of_transformed.shape[-1]))


class SSLTIEObjective(nn.Module):
    """The loss with its diagnostics."""

    def __init__(self, criterion: SSLTIELoss):
        super().__init__()
        self.criterion = criterion

    def forward(self, outputs: tuple, batch: dict) -> tuple[Tensor, dict[str, Diagnostic]]:
        """outputs of SSLTIE.forward; of the batch nothing else is read. Returns the scalar loss and the diagnostics."""
        loss, pairs = self.criterion.with_pairs(*outputs)
        return loss, diagnostics_of(pairs, outputs[1])


def build_model(args: Namespace) -> SSLTIE:
    """With the first weights of models.lvs.build_model. The authors' program starts from scratch."""
    model = SSLTIE()
    model.load(args, SSLTIE_URL)
    return model


def build_objective(args: Namespace) -> SSLTIEObjective:
    """Raises ValueError for a batch in parts."""
    if args.accumulate > 1:
        raise ValueError("--accumulate does not work with --method ssltie, which draws one transformation for a batch")
    return SSLTIEObjective(SSLTIELoss(LVSLoss(args.published_diagonal, args.local_negatives)))
