"""One batch in one process and in two: what the tests of several objectives compare."""

from functools import partial

import pytest
import torch
from seeded import assert_near
from test_distributed import in_processes
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from utils import distributed


class Projections(nn.Module):
    """A small layer for each stream, so that there are parameters to compare."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.see, self.hear = nn.Conv2d(12, 8, 1), nn.Linear(12, 8)

    def forward(self, vision, audio):
        return self.see(vision), self.hear(audio)


def share_of_a_batch(build_objective, batch, rank, world):
    """Loss and gradients of 8 samples in `world` parts, with the negatives of all and of each process."""
    torch.manual_seed(1)
    mine, found = slice(rank * 8 // world, (rank + 1) * 8 // world), {}
    vision, audio = torch.randn(8, 12, 3, 3)[mine], torch.randn(8, 12)[mine]
    for local in (False, True):
        model = Projections()
        trained = DistributedDataParallel(model) if world > 1 else model
        loss, _ = build_objective(local_negatives=local)(trained(vision, audio), batch)
        loss.backward()
        losses = distributed.gather_lists([loss.item()])
        found[local] = {"loss": sum(losses) / world, "grads": [p.grad for p in model.parameters()]}
    return found


def losses_with_local_negatives(folder, build_objective, batch):
    """Those of one process and of two, after the same loss and gradients were found with the negatives of all.

    build_objective: a function of a module, called with local_negatives. batch: what the objective gets besides.
    """
    compute = partial(share_of_a_batch, build_objective, batch)
    one, two = (in_processes(world, folder, compute) for world in (1, 2))
    assert two[False]["loss"] == pytest.approx(one[False]["loss"], rel=1e-5)
    for a, b in zip(one[False]["grads"], two[False]["grads"], strict=True):
        assert_near(b, a, 1e-5)
    return one[True]["loss"], two[True]["loss"]
