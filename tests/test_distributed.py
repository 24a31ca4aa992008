"""Several processes compute what one would: loss and gradients of the same global batch."""

import os
from socket import socket

import pytest
import torch
import torch.multiprocessing as mp
from test_losses import random_inputs
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from models.losses import SACLLoss
from utils import distributed
from utils.seed import EpochSampler


class Heads(nn.Module):
    """One small layer for each stream, so that there are parameters to compare."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.see, self.hear = nn.Conv2d(12, 8, 1), nn.Linear(12, 8)

    def forward(self, vision, audio):
        return [self.see(view) for view in vision], self.hear(audio)


def run(rank, world, port, folder):
    """Process `rank` of `world`, as torchrun would start it; rank 0 saves what it found."""
    if world > 1:
        os.environ.update(MASTER_ADDR="localhost", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(world))
    with distributed.processes("cpu"):
        result = share_of_a_batch(rank, world)
        if rank == 0:
            torch.save(result, folder / f"{world}.pt")


def share_of_a_batch(rank, world):
    """Loss and gradients of one batch of 8 in `world` parts, and which batches an epoch has for each process."""
    vision, audio, sound, regions = random_inputs(5, batch=8)
    mine = slice(rank * 8 // world, (rank + 1) * 8 // world)
    model = Heads()
    heads = DistributedDataParallel(model) if world > 1 else model
    seen, heard = heads([view[mine] for view in vision], audio[mine])
    gathered, sound = distributed.gather(heard), distributed.gather(sound[mine])
    loss = SACLLoss(0.07)(seen, gathered, sound, [view[mine] for view in regions], first=mine.start)
    loss.backward()
    losses = distributed.gather_lists([loss.item()])
    shares = distributed.gather_lists([(rank, list(EpochSampler(17, 4 // world, seed=3)))])
    return {"loss": sum(losses) / world, "shares": shares, "grads": [p.grad for p in model.parameters()]}


@pytest.mark.parametrize("world", [2, 4])
def test_loss_and_gradients_do_not_depend_on_the_number_of_processes(world, tmp_path):
    run(0, 1, None, tmp_path)
    with socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    mp.spawn(run, (world, port, tmp_path), nprocs=world)
    one, many = (torch.load(tmp_path / f"{n}.pt") for n in (1, world))
    assert many["loss"] == pytest.approx(one["loss"], rel=1e-5)
    for single, shared in zip(one["grads"], many["grads"], strict=True):
        assert torch.allclose(single, shared, rtol=1e-5, atol=1e-6)
    whole = one["shares"][0][1]  # the same batches of the same epoch, in parts
    parts = [sum((batches[step] for _, batches in many["shares"]), []) for step in range(len(whole))]
    assert parts == whole
