"""The networks and the optimizer of a run."""

import torch
from torch.nn.parallel import DistributedDataParallel

from models import build_model
from models.batch_norm import synchronised
from utils import distributed


def build_networks(args, device):
    """The model, and what trains it: the same, or with several processes what exchanges its gradients."""
    model, several = build_model(args).to(device, memory_format=torch.channels_last), distributed.world_size() > 1
    if several and not args.local_negatives:
        model = synchronised(model, device)
    if args.compile:
        model.compile()
    return model, DistributedDataParallel(model) if several else model


def build_optimizer(model, args):
    """The optimizer over what the method trains, each group with its learning rate."""
    groups = [{**group, "first_lr": group["lr"]} for group in model.parameter_groups(args)]
    shared = {"weight_decay": args.weight_decay, "fused": True}
    if args.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=args.beta1, **shared)
    optimizer = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[args.optimizer]
    return optimizer(groups, betas=(args.beta1, 0.999), **shared)
