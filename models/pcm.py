"""The predictive coding module of SSPL (Song et al., CVPR 2022): aligns an image's features with its sound."""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn.functional import gelu, normalize, relu


class PCM(nn.Module):
    """Three layers of representations r1, r2, r3 between a sound and the features of an image (S10 to S13).

    Feedback predicts downwards, from the image's features to the sound; feedforward carries what the predictions missed
    upwards. Convolutions and the update rates a, b are shared by all cycles, each of which has batch norms of its own.
    cycles: after the initialising pass; the paper's T is cycles + 1. Names, and what goes beyond the published text
    (rates a channel, no batch norm at the top, predictions with batch norm and GELU while initialising), are the
    authors' program's.
    """

    def __init__(self, cycles=4):
        super().__init__()
        self.cycles = cycles
        self.PredProcess = nn.ModuleList([nn.Conv2d(512, 128, 1), _halving(), _halving()])
        self.ErrorProcess = nn.ModuleList(
            [
                nn.ConvTranspose2d(128, 512, 1, bias=False),
                nn.ConvTranspose2d(512, 512, 3, stride=2, bias=False),
                _doubling(),
                nn.ConvTranspose2d(512, 512, 1),
            ]
        )
        self.a0 = nn.ParameterList(torch.ones(1, 512, 1, 1) for _ in range(3))
        # Without a cycle nothing reads b: left out of training, or several processes would wait for its gradient.
        self.b0 = nn.ParameterList(torch.full((1, 512, 1, 1), 0.5) for _ in range(3)).requires_grad_(cycles > 0)
        self.BNPred, self.BNError = _norms(2), _norms(3)
        self.BNPred_step, self.BNError_step = _norms(2 * cycles), _norms(3 * cycles)

    def forward(self, vision: torch.Tensor, sound: torch.Tensor) -> torch.Tensor:
        """vision: (B, 512, H, W); sound: (B, 128), not normalised. Returns (B, 512, H, W), signed.

        H and W must be 2 more than a multiple of 4 (14 at 224 pixels): only then do the upward convolutions give back
        the sizes that the downward ones had. Raises ValueError otherwise.
        """
        if any(side % 4 != 2 for side in vision.shape[2:]):
            raise ValueError(
                f"features of {tuple(vision.shape[2:])} do not fit the predictive coding module: --imgSize must be 32 "
                "more than a multiple of 64 (96, 160, 224, 288, ...)"
            )
        sound = normalize(sound)
        a, b = ([relu(rate) for rate in rates] for rates in (self.a0, self.b0))
        p3 = vision
        p2 = gelu(self.BNPred[1](self.PredProcess[2](p3)))
        p1 = gelu(self.BNPred[0](self.PredProcess[1](p2)))
        r1, r2, r3 = self._feedforward((p1, p2, p3), (p1, p2, p3), sound, a, self.BNError)
        for t in range(self.cycles):
            norm1, norm2 = self.BNPred_step[2 * t : 2 * t + 2]
            r3 = gelu((1 - b[2]) * r3 + b[2] * p3)
            p2 = self.PredProcess[2](r3)
            r2 = gelu(norm2((1 - b[1]) * r2 + b[1] * p2))
            p1 = self.PredProcess[1](r2)
            r1 = gelu(norm1((1 - b[0]) * r1 + b[0] * p1))
            norms = self.BNError_step[3 * t : 3 * t + 3]
            r1, r2, r3 = self._feedforward((r1, r2, r3), (p1, p2, p3), sound, a, norms)
        return self.ErrorProcess[3](r3)

    def _feedforward(self, r, p, sound, a, norms):
        """r, p: representations and predictions of the layers 1, 2, 3. Returns the corrected representations."""
        p0 = gelu(self.PredProcess[0](r[0])).mean(dim=(2, 3))
        error = (sound - p0)[:, :, None, None].expand(-1, -1, *r[0].shape[2:])
        corrected = []
        for layer in range(3):
            corrected.append(gelu(norms[layer](r[layer] + a[layer] * self.ErrorProcess[layer](error))))
            error = corrected[layer] - p[layer]
        return corrected


def _halving():
    return nn.Sequential(
        OrderedDict(conv2d=nn.Conv2d(512, 512, 3, padding=1, bias=False), pool=nn.MaxPool2d(kernel_size=2))
    )


def _doubling():
    return nn.Sequential(
        OrderedDict(
            upsample=nn.UpsamplingBilinear2d(scale_factor=2),  # corners aligned
            convtrans2d=nn.ConvTranspose2d(512, 512, 3, padding=1, bias=False),
        )
    )


def _norms(count):
    return nn.ModuleList(nn.BatchNorm2d(512) for _ in range(count))
