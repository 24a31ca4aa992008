"""Steps whose gradient is not finite must not reach the weights."""

import torch
from torch import nn


class NonFiniteGuard:
    """Makes optimizer.step() leave out what is not finite, without waiting for the device.

    With several processes the gradient is the same in all, and so is the decision. keep_buffers: also takes back what
    the forward passes of such a step have counted (batch norm's running statistics).
    skipped: whether the last step was left out, a bool tensor on the device.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, network: nn.Module, keep_buffers: bool):
        self.network, self.keep_buffers = network, keep_buffers
        self.skipped, self.buffers = torch.zeros((), dtype=torch.bool), []
        for group in optimizer.param_groups:
            if group.get("momentum"):  # SGD would begin its average with the first gradient, even a broken one
                for weight in group["params"]:
                    optimizer.state[weight].setdefault("momentum_buffer", torch.zeros_like(weight))
        optimizer.register_step_pre_hook(self._check)
        optimizer.register_step_post_hook(self._restore_buffers)

    def before_step(self):
        """Before the forward passes of a step."""
        self.buffers = [buffer.clone() for buffer in self.network.buffers()] if self.keep_buffers else []

    @torch.no_grad()
    def _check(self, optimizer, args, kwargs):
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        norm = nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
        self.skipped = ~torch.isfinite(norm)
        # What torch.amp.GradScaler does with fused optimizers: where found_inf is 1, their kernels change nothing.
        optimizer.found_inf = self.skipped.float()

    @torch.no_grad()
    def _restore_buffers(self, optimizer, args, kwargs):
        if self.buffers:
            for buffer, value in zip(self.network.buffers(), self.buffers, strict=True):
                buffer.copy_(torch.where(self.skipped, value, buffer))
