"""The training sets by name: where a name picks a folder. The test sets are in benchmarks/."""

import os
from collections.abc import Callable
from pathlib import Path

import torch

from dataset.augment.parameters import AUGMENTATIONS
from dataset.augment.spectrograms import AUDIO_MASKS
from dataset.frontends import FRONT_ENDS
from dataset.storage.cache import choose_cache
from dataset.storage.layout import TRAIN_FOLDERS
from dataset.storage.regions import store_regions
from dataset.train_set import Arrays, TrainSet, open_arrays

BY_SIZE = ("flickr", "vggsound")  # the published names: 10k or 144k by --num_train


def train_folder(args) -> Path:
    """Where the training set args.trainset lies under args.data_path."""
    return Path(args.data_path) / TRAIN_FOLDERS[exact_trainset(args.trainset, args.num_train)]


def prepare_train_set(args, regions: bool, report: Callable[[str], None]):
    """Writes what is missing of a training set: the demo set, and region maps where the method reads them.

    Long work of one process, to be done before the others go on. report: called with sentences about the progress.
    """
    folder = train_folder(args)
    if args.trainset == "demo" and not folder.is_dir():
        from dataset.demo import generate  # late: only the first run needs it

        root = Path(args.data_path) / "Demo"
        print(
            f"No dataset found: generating the demo set in {root}, synthetic scenes with one sounding object",
            flush=True,
        )
        generate(root)
    if regions:
        store_regions(folder, args.num_train, os.cpu_count() or 1, report)


def open_train_arrays(args, regions: int | None) -> Arrays:
    """The arrays of the training set args.trainset; regions: see open_arrays."""
    return open_arrays(train_folder(args), FRONT_ENDS[args.front_end], regions, args.num_train)


def build_train_set(arrays: Arrays, augmentation: str | None, views: int, args, device: torch.device) -> tuple:
    """A TrainSet of arrays, kept in memory and augmented where args.cache and args.augment say.

    augmentation: a name in AUGMENTATIONS, or None for frames that a network has encoded. Returns the set, and a
    sentence that says what was chosen. Raises ValueError where the choices exclude each other.
    """
    on_device = args.augment == "device" or (args.augment == "auto" and device.type == "cuda")
    place = choose_cache(args.cache, arrays.bytes, device if on_device else torch.device("cpu"))
    if place == "device" and not on_device:
        raise ValueError("--cache device needs views made there: add --augment device, or use --cache ram")
    source = {"none": "read from its files", "ram": "kept in memory", "device": "kept on the device"}[place]
    made = "made on the device" if on_device else "made by the workers"
    made = f"views {made}" if augmentation else "stored features of the unaugmented frames"
    sentence = f"{arrays.length} training samples ({arrays.bytes / 1e9:.1f} GB), {source}; {made}"
    if place != "none":
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        arrays = arrays.keep(device if place == "device" else torch.device("cpu"), (os.cpu_count() or 1) // processes)
    augmentation = augmentation and AUGMENTATIONS[augmentation]
    on_device = on_device and augmentation is not None
    masks = AUDIO_MASKS[args.audio_masks]
    return TrainSet(arrays, augmentation, views, args.imgSize, args.seed, on_device, masks), sentence


def exact_trainset(trainset, num_train):
    """The key of TRAIN_FOLDERS that a training set's name stands for, given the rows asked for (or None)."""
    size = "144k" if num_train is not None and num_train > 10_000 else "10k"
    return trainset + size if trainset in BY_SIZE else trainset


def testset_of(trainset):
    """The test set that belongs to a training set."""
    source = TRAIN_FOLDERS[exact_trainset(trainset, None)].split("/")[0]
    return {"SoundNet_Flickr": "flickr", "VGG-Sound": "vggss"}.get(source, trainset)


def default_trainset(data_path) -> str:
    """The training set of the first dataset under data_path, demo where there is none."""
    names = {"SoundNet_Flickr": "flickr", "VGG-Sound": "vggsound", "Custom": "custom"}
    return next((name for folder, name in names.items() if (Path(data_path) / folder).is_dir()), "demo")


def has_data(data_path):
    """True if any data set but the demo lies under data_path."""
    return any((Path(data_path) / folder).is_dir() for folder in ("SoundNet_Flickr", "VGG-Sound", "Custom"))
