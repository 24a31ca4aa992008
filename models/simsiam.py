"""The projection and prediction heads of SimSiam (Chen and He, CVPR 2021), in the sizes of SSPL."""

import torch
from torch import nn


class SimSiamHead(nn.Module):
    """Projector 512 -> 2048 -> 2048 -> 2048 and predictor 2048 -> 512 -> 2048; names of the authors' program."""

    def __init__(self, features=512, width=2048, bottleneck=512):
        super().__init__()
        self.projector = nn.Sequential()
        self.projector.layer1 = _layer(features, width, nn.BatchNorm1d(width), nn.ReLU(inplace=True))
        self.projector.layer2 = _layer(width, width, nn.BatchNorm1d(width), nn.ReLU(inplace=True))
        self.projector.layer3 = _layer(width, width, nn.BatchNorm1d(width, affine=False))
        self.predictor = nn.Sequential()
        self.predictor.layer1 = _layer(width, bottleneck, nn.BatchNorm1d(bottleneck), nn.ReLU(inplace=True))
        self.predictor.layer2 = nn.Linear(bottleneck, width)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 512) -> prediction p and projection z, each (B, 2048)."""
        projection = self.projector(features)
        return self.predictor(projection), projection


def _layer(inputs, outputs, *after):
    return nn.Sequential(nn.Linear(inputs, outputs, bias=False), *after)
