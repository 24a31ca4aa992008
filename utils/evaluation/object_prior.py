"""Object-guided localisation (Mo and Morgado, "Localizing visual sounds the easy way", ECCV 2022): a map of what looks
like an object, from ImageNet features and without any sound, blended with the model's map."""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate

from models.weights import RESNET_URL, load_weights
from utils.evaluation.metrics import min_max


class ObjectPrior(nn.Module):
    """alpha: weight of the model's map, 0.4 in the paper. weights: file of the published ImageNet ResNet-18."""

    def __init__(self, alpha: float, weights: str):
        super().__init__()
        from models.resnet import ResNet18  # late: torchvision costs 1.6 s, which other tests need not take

        self.alpha, self.net = alpha, ResNet18()
        load_weights(self.net, weights, f"{RESNET_URL}, or test without --ogl", unused=["fc."])
        self.eval()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Mean absolute feature of each place: (B, 3, H, W), ImageNet-normalised -> (B, H / 32, W / 32)."""
        return self.net(image).abs().mean(dim=1)

    @torch.no_grad()
    def refine(self, image: torch.Tensor, heat: np.ndarray) -> dict[str, np.ndarray]:
        """Heat maps (B, h, w) NumPy in [0, 1] by name: object_prior alone, and its blend with `heat`, min-max again."""
        objects = interpolate(self(image)[:, None], heat.shape[1:], mode="bilinear")[:, 0].cpu().numpy()
        prior = min_max(objects)
        blend = self.alpha * heat + (1 - self.alpha) * prior
        return {"object_prior": prior, "object_guided": min_max(blend)}
