"""ResNet-18 as a trunk: feature maps of an image or of a spectrogram."""

from argparse import Namespace

import torch
from torch import nn
from torch.nn.functional import normalize

from models.torchvision_ops import torchvision
from models.weights import RESNET_URL, load_weights

_resnet = torchvision.models.resnet


class ResNet18(_resnet.ResNet):
    """torchvision's ResNet-18 up to layer4, without pooling and classifier.

    Parameter names are those of the published weights (their fc.* is not used). Randomly initialised, each residual
    branch at zero: the features start out local, and what is learned from scratch stays at its place (demo set after
    80 steps of SACL: cIoU 0.51, without 0.37).

    channels: of the input, 3 for an image, 1 for a spectrogram.
    """

    def __init__(self, channels: int = 3):
        super().__init__(_resnet.BasicBlock, [2, 2, 2, 2], zero_init_residual=True)
        if channels != 3:
            self.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        del self.avgpool, self.fc

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """inputs: (B, channels, H, W); images ImageNet-normalised. Returns (B, 512, H / 32, W / 32), >= 0."""
        features = self.maxpool(self.relu(self.bn1(self.conv1(inputs))))
        return self.layer4(self.layer3(self.layer2(self.layer1(features))))


class FrameNet(ResNet18):
    """SACL's visual encoder: layer4 at stride 1, so that the features are (B, 512, H / 16, W / 16)."""

    def __init__(self):
        super().__init__()
        self.layer4[0].conv1.stride = self.layer4[0].downsample[0].stride = (1, 1)


class TwoResNets(nn.Module):
    """What LVS, EZ-VSL, SLAVC, FNAC and SSL-TIE share: a trunk for images, one for sounds, and how they localise.

    A subclass adds projections of their features to one space, if any, and says in project_image and project_sound how
    they are used. dropout_img, dropout_aud: shares of the trunks' features that are dropped in training. trunks: the
    two trunks, if they are not ResNet18s.
    """

    def __init__(self, dropout_img: float = 0.0, dropout_aud: float = 0.0, trunks: tuple | None = None):
        super().__init__()
        self.imgnet, self.audnet = trunks or (ResNet18(), ResNet18(channels=1))
        self.img_dropout, self.aud_dropout = nn.Dropout(dropout_img), nn.Dropout(dropout_aud)
        initialise(self.audnet)

    def load(self, args: Namespace, source: str) -> None:
        """Reads the checkpoint args.weights where given, else ImageNet weights for the visual trunk
        (args.weights_resnet_imgnet) unless args.train_from_scratch. source: where checkpoints can be had."""
        if args.weights:
            load_weights(self, args.weights, source)
        elif not args.train_from_scratch:
            other = f"{RESNET_URL}, or train without it: --train_from_scratch 1"
            absent = ["conv1_a.", "conv1_flow.", "fc."]  # what LVS's trunks have beside
            load_weights(self.imgnet, args.weights_resnet_imgnet, other, unused=["fc."], absent=absent)

    def localize(self, image: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        """Cosine of the sound and each place of the image: (B, 3, H, W), (B, 1, 257, T) -> (B, H / 32, W / 32)."""
        return self.similarity(self.encode_image(image), self.encode_sound(audio))

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        """Unit vectors of the places of images: (B, 3, H, W) -> (B, C, H / 32, W / 32)."""
        return normalize(self.project_image(image))

    def encode_sound(self, audio: torch.Tensor) -> torch.Tensor:
        """Unit vectors of sounds: (B, 1, 257, T) -> (B, C)."""
        return normalize(self.project_sound(audio))

    def similarity(self, vision: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        """Cosine of each encoded sound and the places of its image: (B, C, h, w), (B, C) -> (B, h, w)."""
        return (audio[:, None] @ vision.flatten(2)).view(-1, *vision.shape[2:])

    def parts(self) -> dict[str, nn.Module]:
        """The networks by the names of their files: <name>_best.pth."""
        return {"model": self}

    def parameter_groups(self, args: Namespace) -> list[dict]:
        """One group: all that is trained, with one learning rate."""
        return [{"params": [p for p in self.parameters() if p.requires_grad], "lr": args.lr}]


def initialise(network: nn.Module) -> None:
    """The random weights that the authors of LVS, EZ-VSL, SLAVC and FNAC start from: convolutions as He et al. by
    fan-out, weights of batch norms N(1, 0.02) with biases of 0. Other layers stay as they are."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.02)
            nn.init.zeros_(module.bias)


def at_least_float32(features: torch.Tensor) -> torch.Tensor:
    """What autocast computed in bfloat16, in float32 for cosines and losses; float64 stays."""
    return features.to(torch.promote_types(features.dtype, torch.float32))
