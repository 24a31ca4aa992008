"""Tensors of all processes, with gradient."""

import torch
import torch.distributed as dist


def rank() -> int:
    """This process's number, 0 where there is only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """The number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def gather(rows: torch.Tensor) -> torch.Tensor:
    """Rows (b, ...) of every process, in the order of ranks: (world_size x b, ...), with gradient."""
    return _Gather.apply(rows) if dist.is_initialized() else rows


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows):
        parts = [torch.empty_like(rows) for _ in range(world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient):
        # Every process has used all rows: the gradient of a row is the sum of what all of them found.
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient.chunk(world_size())[rank()]
