"""Audio encoder of SSPL and SACL: VGGish and the head that takes its features to the frame's dimension."""

import torch
from torch import nn


class SoundNet(nn.Module):
    """VGGish (Hershey et al., ICASSP 2017) and a head 128 -> 512 -> 512; parameter names of the published weights.

    Randomly initialised for ReLU (He et al., ICCV 2015), and each unit's weights are centred: there is no batch norm
    here, and without centring the mean that every layer of ReLUs adds outgrows what tells one sound from another (mean
    cosine of the outputs for two different classes of the demo set: 0.93 without, 0.11 with).
    """

    def __init__(self):
        super().__init__()
        layers, channels = [], 1
        for width in (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool"):
            if width == "pool":
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, width, kernel_size=3, padding=1), nn.ReLU(inplace=True)]
                channels = width
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            nn.Linear(512 * 6 * 4, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, 128),
            nn.ReLU(inplace=True),
        )
        self.fc = nn.Sequential(nn.Linear(128, 512), nn.ReLU(inplace=True), nn.Linear(512, 512))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                with torch.no_grad():
                    module.weight -= module.weight.flatten(1).mean(dim=1).view(-1, *[1] * (module.weight.dim() - 1))
                nn.init.zeros_(module.bias)

    def forward(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """audio: (B, S, 1, 96, 64) log-mel patches, S a clip.

        Returns the means over a clip's patches of VGGish's embedding, (B, 128), >= 0, and of the head's output,
        (B, 512); neither is normalised.
        """
        embedding = self.embed(audio)
        return embedding.mean(dim=1), self.fc(embedding).mean(dim=1)

    def embed(self, audio: torch.Tensor) -> torch.Tensor:
        """VGGish alone: (B, S, 1, 96, 64) -> (B, S, 128), >= 0."""
        features = self.features(audio.flatten(0, 1))
        # The published weights expect the channel last, as TensorFlow lays it out.
        return self.embeddings(features.permute(0, 2, 3, 1).flatten(1)).unflatten(0, audio.shape[:2])
