"""Diagnostics of a batch: numbers beside the loss that show early that a training goes wrong."""

from typing import NamedTuple

import torch


class Diagnostic(NamedTuple):
    """A number of a batch, and when to warn of it.

    value: scalar tensor, detached; its mean over the steps of an epoch is logged. limit: beyond it something is wrong.
    above: True if that is above the limit, False if below. warning: the sentence that is printed then.
    """

    value: torch.Tensor
    limit: float
    above: bool
    warning: str


def spread_of(features: torch.Tensor) -> torch.Tensor:
    """Variance of unit vectors (N, C): 1 minus their mean cosine."""
    return features.var(dim=0, correction=0).sum()


def audio_spread(audio: torch.Tensor) -> Diagnostic:
    """The spread of audio embeddings (N, C), of unit length. With random weights it starts above 0.01."""
    return Diagnostic(spread_of(audio.detach()), 1e-3, False, "dead sound branch: all sounds get the same embedding")


def similarity_spread(cosines: torch.Tensor) -> Diagnostic:
    """The standard deviation of an image's cosines with sounds: (..., B, N), B images, N sounds."""
    spread = cosines.detach().std(dim=-1, correction=0).mean()
    return Diagnostic(spread, 1e-3, False, "collapse: an image is as similar to one sound as to any other")
