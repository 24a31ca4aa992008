"""The benchmarks' test sets from the clips at hand: VGG-SS as HDF5 files, and a check of Flickr-SoundNet's folders."""

import csv
import io
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from dataset.benchmarks.annotations import read_ids, silent_pairs, vggss_boxes
from dataset.benchmarks.ids import clip_name
from dataset.benchmarks.labels import FlickrLabels
from dataset.benchmarks.test_sets import FilesTest
from dataset.prepare.clips import OK, Clip, crashed, find_clips, read_clip
from dataset.prepare.rows import TEST_KINDS, RowWriter, array_paths
from dataset.storage.atomic import write_text
from dataset.storage.parallel import map_in_order

MISSING = "missing"


def prepare_vggss(videos, out, ids, boxes, workers=0):
    """Writes out/VGG-Sound: h5py_test_*.h5 and vggss_test_4692.csv for the clips of a list that are in a folder.

    ids: lists of the test clips, which boxes, VGG-SS's JSON, must know; or of pairs (vggss_test_plus_silent.csv, for
    the extended test set): frames and sounds of which some have no boxes. prepared.csv, beside the arrays, has a line
    for each id of the lists: what became of it ("missing": no such clip). Returns a Counter of those states.
    Raises FileExistsError where there is a set already, ValueError where not one clip can be used.
    """
    folder = Path(out) / "VGG-Sound"
    data, id_list = folder / "5k_labeled" / "Data", folder / "vggss_test_4692.csv"
    annotated = vggss_boxes(boxes)
    wanted = list(dict.fromkeys(item_id for path in ids for item_id in _read_wanted(path, annotated, boxes)))
    paths = array_paths(data, "test", TEST_KINDS)
    for path in (*paths.values(), id_list):
        if path.exists():
            raise FileExistsError(f"{path} is already there: move it away, or choose another folder with --out")

    at_hand = {clip_name(clip.id): clip for clip in find_clips(videos)[0]}
    clips = [at_hand.get(item_id, Clip(item_id, refused=(MISSING, f"no such clip in {videos}"))) for item_id in wanted]
    found = [clip for clip in clips if not clip.refused]
    results = zip(found, map_in_order(_read_test_clip, found, workers, crashed), strict=True)
    states, used = {clip.id: clip.refused for clip in clips if clip.refused}, []
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
    table = io.StringIO(newline="")
    lines = csv.writer(table, lineterminator="\n")
    lines.writerow(("id", "state", "reason"))
    lines.writerows((item_id, *states[clip.id]) for item_id, clip in zip(wanted, clips, strict=True))
    write_text(data / "prepared.csv", table.getvalue())
    return Counter(state for state, _ in states.values())


def _read_wanted(path, annotated, boxes):
    """Ids of a list, all of them annotated; or those of both columns of a list of pairs."""
    if Path(path).is_file() and Path(path).read_text().startswith("video,audio"):
        return [item_id for pair in silent_pairs(path) for item_id in pair]
    wanted = read_ids(path)
    if unknown := [item_id for item_id in wanted if item_id not in annotated]:
        raise ValueError(f"{boxes} has no boxes for {unknown[0]} ({len(unknown)} in all) of {path}: bring both again")
    return wanted


def _read_test_clip(clip):
    return read_clip(clip, with_mask=False)


def check_flickr(datasets, ids):
    """Reads every item of Flickr-SoundNet's test set; returns the number of ids and a sentence for each bad one."""
    folder = Path(datasets) / "SoundNet_Flickr" / "5k_labeled"
    labels = FlickrLabels(ids, folder / "Annotations")
    test_set = FilesTest(labels, (folder / "Data/frames", ".jpg"), (folder / "Data/audio", ".wav"))
    items = [test_set[index] for index in tqdm(range(len(test_set)), "flickr-test", unit=" items")]
    problems = [item["error"] for item in items if "error" in item]
    problems += [f"{item['id']}: no valid box" for item in items if "error" not in item and not item["gt_map"].any()]
    return len(items), problems
