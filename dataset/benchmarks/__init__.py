"""The test sets: build_test_set and build_labels are the only place where a name picks a class and a folder."""

from pathlib import Path

from dataset.benchmarks.annotations import read_ids
from dataset.benchmarks.ids import METADATA
from dataset.benchmarks.labels import ExtendedLabels, FlickrLabels, FlickrValidation, ListedLabels, VGGSSLabels
from dataset.benchmarks.test_sets import FilesTest, HDF5Test
from dataset.frontends import FRONT_ENDS

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


def build_test_set(name, args):
    """The test set `name` under args.data_path, with the sounds as args.method reads them."""
    labels, root = build_labels(name, args.data_path), Path(args.data_path)
    reading = {"size": args.imgSize, "front_end": FRONT_ENDS[args.front_end]}
    if name in LISTED:
        folder, suffix, _ = LISTED[name]
        frames, sounds = root / folder / "visual_frames", root / folder / "audio_wav"
        return FilesTest(labels, (frames, suffix), (sounds, ".wav"), **reading)
    if name.startswith("flickr"):
        data = root / "SoundNet_Flickr/5k_labeled/Data"
        return FilesTest(labels, (data / "frames", ".jpg"), (data / "audio", ".wav"), **reading)
    folder = root / VGGSS_FOLDERS.get(name, "VGG-Sound")
    if name == "custom":
        return HDF5Test(labels, folder / "labeled/Data", [folder / "custom_test.csv"], **reading)
    own = [folder / name for name in ROW_LISTS if (folder / name).is_file()]
    return HDF5Test(labels, folder / "5k_labeled/Data", own or [METADATA / name for name in ROW_LISTS[-1:]], **reading)


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


def find_valset(args) -> str:
    """args.valset, or what "auto" stands for: flickr_val where args.data_path has all of its files, else none."""
    if args.valset != "auto":
        return args.valset
    try:
        missing = build_test_set("flickr_val", args).find_missing()
    except (FileNotFoundError, ValueError):
        return "none"
    return "none" if missing else "flickr_val"
