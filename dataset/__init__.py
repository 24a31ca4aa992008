"""build_train_set, build_test_set: the only place where a data set's name picks a class and a folder."""

import os
from pathlib import Path

import torch

from dataset.cache import choose_cache
from dataset.test_sets import FlickrTest, VGGSSTest
from dataset.train_set import TrainSet, store_regions
from utils import distributed

TRAIN_FOLDERS = {
    "flickr": "SoundNet_Flickr",  # the published names, 10k or 144k by --num_train
    "vggsound": "VGG-Sound",
    "flickr10k": "SoundNet_Flickr/10k_unlabeled",
    "flickr144k": "SoundNet_Flickr/144k_unlabeled",
    "vggsound10k": "VGG-Sound/10k_unlabeled",
    "vggsound144k": "VGG-Sound/144k_unlabeled",
    "custom": "Custom/unlabeled",
    "demo": "Demo/SoundNet_Flickr/10k_unlabeled",
}
TEST_SETS = ("flickr", "vggss", "custom", "demo")
METADATA = Path(__file__).parent.parent / "metadata"


def build_train_set(args, device):
    """The training set named args.trainset under args.data_path, kept and augmented where args.cache and args.augment
    say."""
    folder = Path(args.data_path) / TRAIN_FOLDERS[args.trainset]
    if args.trainset in ("flickr", "vggsound"):
        large = args.num_train is not None and args.num_train > 10_000
        folder /= "144k_unlabeled" if large else "10k_unlabeled"
    if args.trainset == "demo" and distributed.is_main() and not folder.is_dir():
        from dataset.demo import generate  # here, so that python -m dataset.demo does not import itself twice

        root = Path(args.data_path) / "Demo"
        print(f"Generating the demo set in {root}: drawn scenes in which one thing sounds.", flush=True)
        generate(root)
    if args.gridSize < 0 and distributed.is_main():
        store_regions(folder, args.num_train, os.cpu_count())
    distributed.barrier()
    on_device = args.augment == "device" or (args.augment == "auto" and device.type == "cuda")
    train_set = TrainSet(folder, args.imgSize, args.num_train, args.gridSize, args.seed, on_device)
    where = choose_cache(args.cache, train_set.bytes, device if on_device else torch.device("cpu"))
    if where == "device" and not on_device:
        raise ValueError("--cache device needs views made there: add --augment device, or use --cache ram")
    if distributed.is_main():
        place = {"none": "read from its files", "ram": "kept in memory", "device": "kept on the device"}[where]
        maker = "on the device" if on_device else "by the workers"
        size = f"{train_set.bytes / 1e9:.1f} GB"
        print(f"{len(train_set)} training samples ({size}), {place}; views made {maker}", flush=True)
    train_set.keep(where, device, os.cpu_count())
    return train_set


def build_test_set(name, args):
    """The test set `name` under args.data_path. Id lists are looked for there, then in metadata/."""
    root = Path(args.data_path)
    if name == "flickr":
        folder = root / "SoundNet_Flickr"
        return FlickrTest(folder / "5k_labeled", _find(folder / "flickr_test249_in5k.csv"), args.imgSize)
    if name == "custom":
        labeled = root / "Custom/labeled"
        id_list, boxes = root / "Custom/custom_test.csv", labeled / "Annotations/custom_test.json"
    else:
        folder = root / {"vggss": "VGG-Sound", "demo": "Demo/VGG-Sound"}[name]
        labeled = folder / "5k_labeled"
        id_list = _find(folder / "vggss_test_4692.csv")
        boxes = _find(labeled / "Annotations/vggss_test_5158.json")
    return VGGSSTest(labeled / "Data", id_list, boxes, args.imgSize)


def testset_of(trainset):
    """The test set that belongs to a training set."""
    source = TRAIN_FOLDERS[trainset].split("/")[0]
    return {"SoundNet_Flickr": "flickr", "VGG-Sound": "vggss"}.get(source, trainset)


def has_data(data_path):
    """True if any data set but the demo lies under data_path."""
    return any((Path(data_path) / folder).is_dir() for folder in ("SoundNet_Flickr", "VGG-Sound", "Custom"))


def _find(path):
    """The list in the data folder, else the one of that name in metadata/ (whose absence names the way to get it)."""
    return path if path.is_file() else METADATA / path.name
