"""build_train_set, build_test_set: the only place where a data set's name picks a class and a folder."""

import os
from pathlib import Path

import torch

from dataset.annotations import read_ids
from dataset.cache import choose_cache
from dataset.features import use_stored_features
from dataset.labels import ExtendedLabels, FlickrLabels, FlickrValidation, ListedLabels, VGGSSLabels
from dataset.test_sets import FilesTest, HDF5Test
from dataset.train_set import TrainSet, store_regions
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
FLICKR_LISTS = {"flickr": "flickr_test249_in5k.csv", "flickr250": "flickr_test_250.txt"}
VGGSS_LISTS = {
    "vggss": "vggss_test_4692.csv",
    "vggss5158": "vggss_test_5158.csv",
    "vggss4655": "vggss_test_4655.txt",
    "vggss_heard": "vggss_heard_test.csv",
    "vggss_unheard": "vggss_unheard_test.csv",
    "demo": "vggss_test_4692.csv",
}
ROW_LISTS = ("vggss_test_5158.csv", "vggss_test_4692.csv")  # one of them, beside the HDF5 files, names their rows
VGGSS_FOLDERS = {"custom": "Custom", "demo": "Demo/VGG-Sound"}
EXTENDED = {"flickr_extended": "flickr250", "vggss_extended": "vggss5158"}  # with pairs in which nothing seen sounds
LISTED = {  # folder, suffix of the images, and what their names tell
    "is3": ("IS3", ".jpg", {"several": True, "classes": "thing"}),
    "avsbench_s4": ("AVSBench/S4", ".png", {"frames": True, "classes": "topic"}),
    "avsbench_ms3": ("AVSBench/MS3", ".png", {"frames": True}),
    "vpo_ss": ("VPO/SS", ".jpg", {}),
    "vpo_ms": ("VPO/MS", ".jpg", {"several": True}),
}
TEST_SETS = (*FLICKR_LISTS, "flickr_val", *VGGSS_LISTS, *EXTENDED, *LISTED, "custom")
METADATA = Path(__file__).parent.parent / "metadata"


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


def build_test_set(name, args):
    """The test set `name` under args.data_path: its labels, with frames and sounds."""
    labels, root = build_labels(name, args.data_path), Path(args.data_path)
    if name in LISTED:
        folder, suffix, _ = LISTED[name]
        frames, sounds = root / folder / "visual_frames", root / folder / "audio_wav"
        return FilesTest(labels, (frames, suffix), (sounds, ".wav"), args.imgSize)
    if name.startswith("flickr"):
        data = root / "SoundNet_Flickr/5k_labeled/Data"
        return FilesTest(labels, (data / "frames", ".jpg"), (data / "audio", ".wav"), args.imgSize)
    folder = root / VGGSS_FOLDERS.get(name, "VGG-Sound")
    if name == "custom":
        return HDF5Test(labels, folder / "labeled/Data", [folder / "custom_test.csv"], args.imgSize)
    own = [folder / name for name in ROW_LISTS if (folder / name).is_file()]
    return HDF5Test(
        labels, folder / "5k_labeled/Data", own or [METADATA / name for name in ROW_LISTS[-1:]], args.imgSize
    )


def build_labels(name, data_path):
    """What is known of the test set `name` without its frames and sounds. Lists are looked for in the data folder, then
    in metadata/ (see find_list)."""
    root = Path(data_path)
    flickr, annotations = root / "SoundNet_Flickr", root / "SoundNet_Flickr/5k_labeled/Annotations"
    if name in LISTED:
        folder, _, told = LISTED[name]
        masks, boxes = root / folder / "gt_masks", find_list(root / folder / f"{name}_boxes.json")
        return ListedLabels(boxes, masks=masks if masks.is_dir() else None, **told)
    if name in EXTENDED:
        labels = build_labels(EXTENDED[name], data_path)
        folder = flickr if name.startswith("flickr") else root / "VGG-Sound"
        return ExtendedLabels(labels, find_list(folder / f"{name.split('_')[0]}_test_plus_silent.csv"))
    if name == "flickr_val":
        return FlickrValidation(annotations, find_list(flickr / FLICKR_LISTS["flickr"]))
    if name in FLICKR_LISTS:
        return FlickrLabels(find_list(flickr / FLICKR_LISTS[name]), annotations)
    folder = root / VGGSS_FOLDERS.get(name, "VGG-Sound")
    if name == "custom":
        return VGGSSLabels(folder / "custom_test.csv", folder / "labeled/Annotations/custom_test.json")
    boxes = find_list(folder / "5k_labeled/Annotations/vggss_test_5158.json")
    return VGGSSLabels(find_list(folder / VGGSS_LISTS[name]), boxes)


def find_list(path):
    """The list in the data folder, else the one of that name in metadata/ (whose absence names the way to get it).

    Where the data folder's list shares an id with that of metadata/, the latter says what the test set is: the former
    may be what a preparation found at hand, and a set must not shrink in silence.
    """
    published = METADATA / path.name
    if not path.is_file() or path.suffix == ".json":
        return path if path.is_file() else published
    if published.is_file() and not set(read_ids(path)).isdisjoint(read_ids(published)):
        return published
    return path


def default_valset(args):
    """flickr_val where args.data_path has all of its files, else none."""
    try:
        missing = build_test_set("flickr_val", args).find_missing()
    except (FileNotFoundError, ValueError):
        return "none"
    return "none" if missing else "flickr_val"


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
