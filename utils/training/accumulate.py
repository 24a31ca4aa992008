"""Gradient accumulation for contrastive losses: a whole batch's loss with the memory of a part."""

from contextlib import nullcontext

import torch
from torch.nn.parallel import DistributedDataParallel


def backward_in_parts(model, objective, batch: dict, parts: int, autocast) -> tuple[torch.Tensor, dict]:
    """Adds the gradients of a whole batch's objective(model(views, audio), batch); returns its loss and diagnostics.

    Two passes (Gao et al., RepL4NLP 2021): without a graph, part by part, to the outputs; then the loss of all outputs
    and its gradient with respect to them; then with a graph, part by part, and that gradient carried on. What is drawn
    at random is the same in both passes, and what a forward pass counts, batch norm's running statistics, is counted
    once. The result is the whole batch's but for batch norm, whose batch is a part.

    model: the network, or DistributedDataParallel around it, whose processes then exchange gradients once a batch.
    Its outputs are nested lists or tuples of tensors with the batch first. parts: divides the batch. autocast: a
    context manager for the forward passes.
    """
    device = batch["audio"].device
    views = zip(*(view.chunk(parts) for view in batch["views"]), strict=True)
    inputs = list(zip(views, batch["audio"].chunk(parts), strict=True))
    several = isinstance(model, DistributedDataParallel)
    network = model.module if several else model

    counted = [buffer.clone() for buffer in network.buffers()]
    with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []), autocast:
        outputs = joined([network(list(views), audio) for views, audio in inputs])
    for buffer, value in zip(network.buffers(), counted, strict=True):
        buffer.copy_(value)

    cached = [output.requires_grad_() for output in leaves(outputs)]
    loss, diagnostics = objective(outputs, batch)
    loss.backward()
    gradients = zip(*(output.grad.chunk(parts) for output in cached if output.grad is not None), strict=True)
    used = [output.grad is not None for output in cached]

    for number, ((views, audio), gradient) in enumerate(zip(inputs, gradients, strict=True), 1):
        with model.no_sync() if several and number < parts else nullcontext():
            with autocast:
                made = leaves(model(list(views), audio))
            pairs = zip((output for output, wanted in zip(made, used, strict=True) if wanted), gradient, strict=True)
            trained = [(output, part) for output, part in pairs if output.requires_grad]
            torch.autograd.backward(*zip(*trained, strict=True))
    return loss.detach(), diagnostics


def leaves(outputs):
    """The tensors of nested lists and tuples, in order."""
    return [outputs] if isinstance(outputs, torch.Tensor) else [leaf for part in outputs for leaf in leaves(part)]


def joined(outputs):
    """Equally nested outputs of several parts -> those of all: their tensors joined along the batch."""
    if isinstance(outputs[0], torch.Tensor):
        return torch.cat(outputs)
    return [joined(same) for same in zip(*outputs, strict=True)]
