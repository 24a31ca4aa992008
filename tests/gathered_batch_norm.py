"""Batch norm whose batch is that of all processes, on CPUs, where torch has none: it lets tests compare what several
processes compute with what one does."""

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from models.gather import gather, world_size


def gather_batch_norms(model):
    """The model with batch statistics over all processes, under the same parameter names."""
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.__class__ = GatheredBatchNorm
    return model


class GatheredBatchNorm(_BatchNorm):
    """Batch norm over equally large batches of all processes, on any device: slower, and with the same gradients."""

    def forward(self, features):
        """features: (B, C, ...). Returns the same shape and type."""
        if not self.training:
            return super().forward(features)
        values, dims = features.float(), [0, *range(2, features.dim())]
        own = torch.stack([values.mean(dims), values.var(dims, correction=0)])
        means, variances = gather(own[None]).unbind(1)
        mean = means.mean(0)
        variance = variances.mean(0) + means.var(0, correction=0)
        if self.track_running_stats:
            count = features.numel() // features.shape[1] * world_size()
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean.detach(), self.momentum)
            self.running_var.lerp_(variance.detach() * count / (count - 1), self.momentum)
        scale = (variance + self.eps).rsqrt()
        shift = -mean * scale
        if self.affine:
            scale, shift = scale * self.weight, shift * self.weight + self.bias
        shape = [1, -1, *[1] * (features.dim() - 2)]
        return (values * scale.view(shape) + shift.view(shape)).to(features.dtype)

    def _check_input_dim(self, features):
        """One class for batch norms of all dimensions."""
