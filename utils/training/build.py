"""The networks, the optimizer and the data of a run."""

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from dataset import build_train_set, open_train_arrays
from dataset.benchmarks import build_test_set
from dataset.benchmarks.test_sets import ShuffledSounds
from dataset.storage.features import Rows, features_path, open_features, store_features
from dataset.train_loader import TrainLoader
from models import METHODS, build_model
from utils import distributed
from utils.evaluation.evaluate import build_test_loader


def build_networks(args, device):
    """The model, and what trains it: the same, or with several processes what exchanges its gradients.

    On CUDA batch norm's statistics are those of all processes, unless args.local_negatives. On CPUs they are each
    process's own: torch has no synchronised batch norm there.
    """
    model, several = build_model(args).to(device, memory_format=torch.channels_last), distributed.world_size() > 1
    if several and device.type == "cuda" and not args.local_negatives:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
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


def build_train_loader(args, device, model):
    """The batches of the training set, as the method reads them."""
    method = METHODS[args.method]
    arrays = open_train_arrays(args, args.gridSize if method.regions else None)
    augmentation = method.augmentation
    for name in getattr(model, "stored", ()):
        arrays = with_stored_features(arrays, name, model.encoders()[name], args, device)
        augmentation = None if name == "frames" else augmentation
    train_set, sentence = build_train_set(arrays, augmentation, method.views, args, device)
    if distributed.is_main():
        print(sentence, flush=True)
    ranks = distributed.rank(), distributed.world_size()
    return TrainLoader(train_set, args.batch_size_per_gpu, args.seed, args.workers, device, *ranks)


def with_stored_features(arrays, name, encoder, args, device):
    """Arrays with a frozen encoder's features as "sounds" or "frames"; the main process stores them first."""
    encode, networks = encoder
    rows = Rows(arrays, name, args.imgSize)
    path = features_path(rows, networks)
    if distributed.is_main():
        store_features(path, rows, encode, device, args.workers, distributed.report)
    distributed.barrier()
    return arrays._replace(**{name: open_features(path)})


def build_test_loaders(args):
    """By name: test, shuffled (the same with other items' sounds) unless switched off, val where there is one."""
    test_set = build_test_set(args.testset, args)
    test_sets = {"test": test_set}
    if args.eval_shuffled != "none":
        test_sets["shuffled"] = ShuffledSounds(test_set, args.seed)
    if args.valset != "none":
        test_sets["val"] = build_test_set(args.valset, args)
    return {name: build_test_loader(one, args.batch_size_per_gpu, args.workers) for name, one in test_sets.items()}
