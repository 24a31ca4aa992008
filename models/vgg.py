"""Visual encoder of SSPL: VGG16 up to its last convolution."""

import torch
from torch import nn

from models.torchvision_ops import torchvision

_vgg = torchvision.models.vgg


class VGG16(nn.Module):
    """torchvision's VGG16, features[0:29]: up to conv5_3, before its ReLU (so the features are signed) and pool5.

    Parameter names are those of the authors' frame_best.pth, feat_extractor.N; in the ImageNet file they are called
    features.N. There is nothing in it that differs between training and evaluation.
    """

    def __init__(self):
        super().__init__()
        self.feat_extractor = _vgg.make_layers(_vgg.cfgs["D"], batch_norm=False)[:29]
        for module in self.feat_extractor:
            if isinstance(module, nn.Conv2d):  # as torchvision's VGG, whose constructor would build the classifier too
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """image: (B, 3, H, W), ImageNet-normalised. Returns features (B, 512, H / 16, W / 16)."""
        return self.feat_extractor(image)
