"""Test sets of the benchmarks: VGG-SS from your videos as HDF5 files, and a check of Flickr-SoundNet's folders."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from dataset.benchmarks import BENCHMARKS
from dataset.benchmarks.annotations import read_ids, silent_pairs, vggss_boxes
from dataset.benchmarks.ids import clip_name
from dataset.benchmarks.test_sets import FilesTest
from dataset.prepare.clips import OK, Clip, crashed, list_clips, read_clip, table
from dataset.prepare.rows import TEST_KINDS, RowWriter, array_paths
from dataset.storage.atomic import write_text
from dataset.storage.parallel import map_in_order

MISSING = "missing"


def prepare_vggss(
    videos: str | Path, out: str | Path, ids: Sequence[str | Path], boxes: str | Path, workers: int = 0
) -> Counter:
    """Writes out/VGG-Sound: h5py_test_*.h5 and vggss_test_4692.csv, of those clips of a list that are in a folder.

    Args:
        ids: lists of test clips with boxes, or of pairs (vggss_test_plus_silent.csv, for the extended test set), whose
            frames and sounds may have none.
        boxes: VGG-SS's JSON file.
    Returns: how many clips are in which state. prepared.csv, beside the arrays, has one line an id with its state
        ("missing": no such clip).
    Raises: FileExistsError where there is a set already, ValueError where no clip can be used.
    """
    folder = Path(out) / BENCHMARKS["vggss"].folder
    data, id_list = folder / BENCHMARKS["vggss"].arrays, folder / "vggss_test_4692.csv"
    annotated = vggss_boxes(boxes)
    wanted = list(dict.fromkeys(item_id for path in ids for item_id in _read_wanted(path, annotated, boxes)))
    paths = array_paths(data, "test", TEST_KINDS)
    for path in (*paths.values(), id_list):
        if path.exists():
            raise FileExistsError(f"{path} is already there: move it away, or choose another folder with --out")

    available = {clip_name(clip.id): clip for clip in list_clips(videos)[0]}
    clips = [available.get(name, Clip(name, refused=(MISSING, f"no such clip in {videos}"))) for name in wanted]
    found = [clip for clip in clips if not clip.refused]
    results = zip(found, map_in_order(partial(read_clip, with_mask=False), found, workers, crashed), strict=True)
    states = {clip.id: clip.refused for clip in clips if clip.refused}
    used = []
    data.mkdir(parents=True, exist_ok=True)
    with RowWriter(paths, "test") as writer:
        for clip, (state, reason, row) in tqdm(results, "test", len(found), unit=" clips"):
            states[clip.id] = state, reason
            if state == OK:
                writer.add(row)
                used.append(clip_name(clip.id))
        if not used:
            raise ValueError(f"{videos} has no usable clip of {ids[0]}: name the folder with the videos of VGG-SS")
    write_text(id_list, "".join(f"{item_id}\n" for item_id in used))
    lines = [(item_id, *states[clip.id]) for item_id, clip in zip(wanted, clips, strict=True)]
    write_text(data / "prepared.csv", table([("id", "state", "reason"), *lines]))
    return Counter(state for state, _ in states.values())


def _read_wanted(path, annotated, boxes):
    """Ids of a list, all of them with boxes; or those of both columns of a list of pairs."""
    if Path(path).is_file() and Path(path).read_text().startswith("video,audio"):
        return [item_id for pair in silent_pairs(path) for item_id in pair]
    wanted = read_ids(path)
    if unknown := [item_id for item_id in wanted if item_id not in annotated]:
        raise ValueError(f"{boxes} has no boxes for {unknown[0]} ({len(unknown)} in all) of {path}: fetch both again")
    return wanted


def check_flickr(datasets: str | Path, ids: str | Path) -> tuple[int, list[str]]:
    """Reads every item of Flickr-SoundNet's test set; returns the number of ids and a sentence for each bad one."""
    benchmark = BENCHMARKS["flickr"]
    folder = Path(datasets) / benchmark.folder
    frames, sounds = ((folder / place, suffix) for place, suffix in (benchmark.frames, benchmark.sounds))
    test_set = FilesTest(benchmark.index(folder, ids), frames, sounds)
    items = [test_set[index] for index in tqdm(range(len(test_set)), "flickr-test", unit=" items")]
    problems = [item["error"] for item in items if "error" in item]
    problems += [f"{item['id']}: no valid box" for item in items if "error" not in item and not item["gt_map"].any()]
    return len(items), problems
