"""Visual encoder of SACL: ResNet-18 whose last stage keeps its resolution."""

from models.torchvision_ops import torchvision

_resnet = torchvision.models.resnet


class FrameNet(_resnet.ResNet):
    """torchvision's ResNet-18 with layer4 at stride 1 and without the classifier.

    Parameter names are those of the published weights (their fc.* is not used). Randomly initialised, each residual
    branch at zero: the features start out local, and what is learned from scratch stays at its place (demo set after
    80 steps: cIoU 0.51, without 0.37).
    """

    def __init__(self):
        super().__init__(_resnet.BasicBlock, [2, 2, 2, 2], zero_init_residual=True)
        self.layer4[0].conv1.stride = self.layer4[0].downsample[0].stride = (1, 1)
        del self.avgpool, self.fc

    def forward(self, image):
        """image: (B, 3, H, W), ImageNet-normalised. Returns features (B, 512, H / 16, W / 16), >= 0."""
        features = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        return self.layer4(self.layer3(self.layer2(self.layer1(features))))
