"""build_train_set, build_test_set: the only place where a data set's name picks a class and a folder."""

import os
from pathlib import Path

import torch

from dataset.storage.cache import choose_cache
from dataset.storage.features import use_stored_features
from dataset.storage.regions import store_regions
from dataset.train_set import TrainSet
from utils import distributed

TRAIN_FOLDERS = {
    "flickr10k": "SoundNet_Flickr/10k_unlabeled",
    "flickr144k": "SoundNet_Flickr/144k_unlabeled",
    "vggsound10k": "VGG-Sound/10k_unlabeled",
    "vggsound144k": "VGG-Sound/144k_unlabeled",
    "custom": "Custom/unlabeled",
    "demo": "Demo/SoundNet_Flickr/10k_unlabeled",
}

BY_SIZE = ("flickr", "vggsound")  # the published names: 10k or 144k by --num_train


def build_train_set(args, device, model):
    """The training set named args.trainset under args.data_path, kept and augmented where args.cache and args.augment
    say, and seen through the model's frozen encoders where args.cache_features says so."""
    folder = Path(args.data_path) / TRAIN_FOLDERS[exact_trainset(args.trainset, args.num_train)]
    if args.trainset == "demo" and distributed.is_main() and not folder.is_dir():
        from dataset.demo import generate  # late: only the first run needs it

        root = Path(args.data_path) / "Demo"
        print(f"Generating the demo set in {root}: drawn scenes in which one thing sounds.", flush=True)
        generate(root)
    if args.gridSize < 0 and distributed.is_main():
        store_regions(folder, args.num_train, os.cpu_count())
    distributed.barrier()
    on_device = args.augment == "device" or (args.augment == "auto" and device.type == "cuda")
    train_set = TrainSet(folder, args.imgSize, args.num_train, args.gridSize, args.seed, on_device, args.photometric)
    if args.cache_features != "none":
        frames = args.cache_features == "all"
        use_stored_features(train_set, folder, model.encoders(), frames, device, args.workers)
    where = choose_cache(args.cache, train_set.bytes, device if on_device else torch.device("cpu"))
    if where == "device" and not on_device:
        raise ValueError("--cache device needs views made there: add --augment device, or use --cache ram")
    if distributed.is_main():
        place = {"none": "read from its files", "ram": "kept in memory", "device": "kept on the device"}[where]
        views = "views made on the device" if on_device else "views made by the workers"
        views = "stored features of the unaugmented frames" if train_set.encoded else views
        size = f"{train_set.bytes / 1e9:.1f} GB"
        print(f"{len(train_set)} training samples ({size}), {place}; {views}", flush=True)
    train_set.keep(where, device, os.cpu_count())
    return train_set


def exact_trainset(trainset, num_train):
    """The key of TRAIN_FOLDERS that a training set's name stands for, given the rows asked for (or None)."""
    size = "144k" if num_train is not None and num_train > 10_000 else "10k"
    return trainset + size if trainset in BY_SIZE else trainset


def testset_of(trainset):
    """The test set that belongs to a training set."""
    source = TRAIN_FOLDERS[exact_trainset(trainset, None)].split("/")[0]
    return {"SoundNet_Flickr": "flickr", "VGG-Sound": "vggss"}.get(source, trainset)


def has_data(data_path):
    """True if any data set but the demo lies under data_path."""
    return any((Path(data_path) / folder).is_dir() for folder in ("SoundNet_Flickr", "VGG-Sound", "Custom"))
