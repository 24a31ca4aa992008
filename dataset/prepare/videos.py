"""Raw clips -> a training set in shards: python -m dataset.prepare videos --input CLIPS --out DATASETS --trainset NAME

Beside the shards lie prepared.csv, one line a clip (id, state, reason, shard, row), and prepare.json, from which an
interrupted run goes on: finished shards are not made again.
"""

import csv
import hashlib
import io
import json
import os
from collections import Counter
from itertools import count
from pathlib import Path

from tqdm import tqdm

from dataset.prepare.clips import OK, crashed, read_clip
from dataset.prepare.rows import TRAIN_KINDS, RowWriter, array_paths
from dataset.storage.atomic import write_text
from dataset.storage.parallel import map_in_order

COLUMNS = ("id", "state", "reason", "shard", "row")


def prepare_videos(clips, folder, name, rows_per_shard=None, workers=0, frame_format="uint8", spect_format="float32"):
    """Writes the readable Clips, in their order, as the training set `name` ("10k", "144k", ...) into a folder.

    rows_per_shard: rows of a file h5py_train_<kind>_<name>_<number>.h5; None: all in one, without a number. An
    interrupted run with the same clips and settings is continued; a complete one is left alone. Returns a Counter of
    the clips' states. Raises FileExistsError where the folder holds something else.
    """
    settings = {
        "name": name,
        "rows_per_shard": rows_per_shard,
        "frame_format": frame_format,
        "spect_format": spect_format,
        "clips": len(clips),
        "clips_sha256": hashlib.sha256("".join(f"{clip.id} {clip.refused}\n" for clip in clips).encode()).hexdigest(),
    }
    progress = Progress(folder, settings)
    todo = clips[progress.state["done"] :]
    results = zip(todo, map_in_order(read_clip, todo, workers, crashed), strict=True)
    results = iter(tqdm(results, "prepare", len(clips), initial=len(clips) - len(todo), unit=" clips"))
    lines = []
    for number in count(progress.state["shards"] + 1):
        shard = name if rows_per_shard is None else f"{name}_{number}"
        row = _next_row(results, lines, shard)
        if row is None:
            break
        paths = array_paths(folder, "train", TRAIN_KINDS, f"_{shard}")
        with RowWriter(paths, "train", frame_format, spect_format) as writer:
            while row is not None:
                writer.add(row)
                full = writer.rows == rows_per_shard
                row = None if full else _next_row(results, lines, shard, writer.rows)
        progress.record(lines, number)
        lines = []
    progress.record(lines, number - 1)  # of clips behind the last usable one
    return progress.finish()


def _next_row(results, lines, shard, index=0):
    """The next usable row of results, None if there is none; adds the lines of prepared.csv on the way to it."""
    for clip, (state, reason, row) in results:
        lines.append((clip.id, state, reason, *((shard, index) if state == OK else ("", ""))))
        if state == OK:
            return row
    return None


class Progress:
    """What of a preparation is done and safe on the disk.

    state: {"settings": dict, "done": clips, "shards": number, "table_bytes": length of prepared.csv, "complete": bool}
    """

    def __init__(self, folder, settings):
        self.folder = Path(folder)
        self.table, self.file = self.folder / "prepared.csv", self.folder / "prepare.json"
        self.state = {"settings": settings, "done": 0, "shards": 0, "table_bytes": 0, "complete": False}
        if self.file.exists():
            self._resume(settings)
        elif self.folder.exists() and any(self.folder.iterdir()):
            raise FileExistsError(f"{folder} holds other files: move them away, or choose another folder with --out")
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._save()
            self._append([COLUMNS])
            self._save()

    def _resume(self, settings):
        self.state = json.loads(self.file.read_text())
        before = self.state["settings"]
        changed = [key for key in settings if settings[key] != before.get(key)]
        if changed:
            raise FileExistsError(
                f"{self.folder} was begun with other {' and '.join(changed)}: go on with the same clips and settings, "
                "move it away, or choose another folder with --out"
            )
        if self.table.exists():  # what stands behind was not recorded any more
            os.truncate(self.table, self.state["table_bytes"])
        if not self.state["table_bytes"]:
            self._append([COLUMNS])

    def record(self, lines, shards):
        """The shards up to a number are on the disk; lines: those of the clips since the last call."""
        self._append(lines)
        self.state["done"] += len(lines)
        self.state["shards"] = shards
        self._save()

    def finish(self):
        """Nothing is left to do; returns a Counter of states."""
        self.state["complete"] = True
        self._save()
        with self.table.open(newline="", encoding="utf-8") as file:
            return Counter(line["state"] for line in csv.DictReader(file))

    def _append(self, lines):
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(lines)
        with self.table.open("ab") as file:
            file.write(text.getvalue().encode())
            file.flush()
            os.fsync(file.fileno())
            self.state["table_bytes"] = file.tell()

    def _save(self):
        write_text(self.file, json.dumps(self.state, indent=1))
