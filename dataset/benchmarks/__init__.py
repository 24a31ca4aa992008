"""The test sets by name. To add one, add a row to BENCHMARKS, and an index class if the format of its lists is new."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from dataset.benchmarks.annotations import read_ids
from dataset.benchmarks.index import (
    BenchmarkIndex,
    ExtendedIndex,
    FlickrIndex,
    FlickrValidationIndex,
    JSONIndex,
    VGGSSIndex,
)
from dataset.benchmarks.test_sets import FilesTest, HDF5Test, TestSet
from dataset.frontends import FRONT_ENDS
from metadata import METADATA


class Benchmark(NamedTuple):
    """Where the files of a test set are, relative to its folder.

    folder: below the data path. lists: the files that define its items, looked for there, then in metadata/.
    index: (folder, *paths of the lists) -> BenchmarkIndex.
    frames, sounds: (folder, suffix) of single files; None where `arrays` is the folder of HDF5 files
    h5py_test_*.h5, whose rows are named by the lines of one of row_lists.
    """

    folder: str
    lists: tuple[str, ...]
    index: Callable[..., BenchmarkIndex]
    frames: tuple[str, str] | None = None
    sounds: tuple[str, str] | None = None
    arrays: str | None = None
    row_lists: tuple[str, ...] = ()

    def find_row_lists(self, data_path: str | Path) -> list[Path]:
        """The row_lists in the folder; where there are none, the last of them in metadata/."""
        own = [Path(data_path) / self.folder / name for name in self.row_lists]
        return [path for path in own if path.is_file()] or [METADATA / name for name in self.row_lists[-1:]]


def _flickr(id_list: str, index=FlickrIndex, *more_lists: str) -> Benchmark:
    def make(folder, ids, *more):
        return index(ids, folder / "5k_labeled/Annotations", *more)

    frames, sounds = ("5k_labeled/Data/frames", ".jpg"), ("5k_labeled/Data/audio", ".wav")
    return Benchmark("SoundNet_Flickr", (id_list, *more_lists), make, frames, sounds)


def _vggss(id_list: str, index=VGGSSIndex, *more_lists: str, folder: str = "VGG-Sound") -> Benchmark:
    lists = (id_list, "5k_labeled/Annotations/vggss_test_5158.json", *more_lists)
    row_lists = ("vggss_test_5158.csv", "vggss_test_4692.csv")
    return Benchmark(folder, lists, lambda _, *paths: index(*paths), arrays="5k_labeled/Data", row_lists=row_lists)


def _json(name: str, folder: str, suffix: str = ".jpg", **options) -> Benchmark:
    def make(folder, boxes):
        masks = folder / "gt_masks"
        return JSONIndex(boxes, masks=masks if masks.is_dir() else None, **options)

    return Benchmark(folder, (f"{name}_boxes.json",), make, ("visual_frames", suffix), ("audio_wav", ".wav"))


def _custom(folder: Path) -> VGGSSIndex:
    return VGGSSIndex(folder / "custom_test.csv", folder / "labeled/Annotations/custom_test.json")


def _extended(index):
    """Its last list holds silent pairs."""
    return lambda *paths: ExtendedIndex(index(*paths[:-1]), paths[-1])


BENCHMARKS = {
    "flickr": _flickr("flickr_test249_in5k.csv"),
    "flickr250": _flickr("flickr_test_250.txt"),
    "flickr_val": _flickr("flickr_test249_in5k.csv", FlickrValidationIndex),
    "vggss": _vggss("vggss_test_4692.csv"),
    "vggss5158": _vggss("vggss_test_5158.csv"),
    "vggss4655": _vggss("vggss_test_4655.txt"),
    "vggss_heard": _vggss("vggss_heard_test.csv"),
    "vggss_unheard": _vggss("vggss_unheard_test.csv"),
    "demo": _vggss("vggss_test_4692.csv", folder="Demo/VGG-Sound"),
    "flickr_extended": _flickr("flickr_test_250.txt", _extended(FlickrIndex), "flickr_test_plus_silent.csv"),
    "vggss_extended": _vggss("vggss_test_5158.csv", _extended(VGGSSIndex), "vggss_test_plus_silent.csv"),
    "is3": _json("is3", "IS3", several=True, classes="object"),
    "avsbench_s4": _json("avsbench_s4", "AVSBench/S4", ".png", frames=True, classes="topic"),
    "avsbench_ms3": _json("avsbench_ms3", "AVSBench/MS3", ".png", frames=True),
    "vpo_ss": _json("vpo_ss", "VPO/SS"),
    "vpo_ms": _json("vpo_ms", "VPO/MS", several=True),
    "custom": Benchmark("Custom", (), _custom, arrays="labeled/Data", row_lists=("custom_test.csv",)),
}
TEST_SETS = tuple(BENCHMARKS)


def build_test_set(name: str, args) -> TestSet:
    """The test set `name` below args.data_path, with images of args.imgSize and sounds as args.front_end reads them."""
    benchmark, index = BENCHMARKS[name], build_index(name, args.data_path)
    folder, reading = Path(args.data_path) / benchmark.folder, (args.imgSize, FRONT_ENDS[args.front_end])
    if benchmark.arrays:
        return HDF5Test(index, folder / benchmark.arrays, benchmark.find_row_lists(args.data_path), *reading)
    frames, sounds = ((folder / place, suffix) for place, suffix in (benchmark.frames, benchmark.sounds))
    return FilesTest(index, frames, sounds, *reading)


def build_index(name: str, data_path: str | Path) -> BenchmarkIndex:
    """The items of the test set `name` and their ground truth; its frames and sounds need not be there."""
    benchmark = BENCHMARKS[name]
    folder = Path(data_path) / benchmark.folder
    return benchmark.index(folder, *(find_list(folder / path) for path in benchmark.lists))


def find_list(path: Path) -> Path:
    """The list in the data folder, else the one of that name in metadata/ (download.py fetches it).

    Where both name the same clip, the one in metadata/ defines the test set: the data folder's may name only the clips
    that were available to a preparation, and a test set must not shrink unnoticed.
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
