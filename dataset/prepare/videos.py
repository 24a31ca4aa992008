"""Raw clips -> a training set in shards: python -m dataset.prepare videos --input CLIPS --out DATASETS --trainset NAME

Beside the shards are prepared.csv, one line a clip (id, state, reason, shard, row), and prepare.json, with which an
interrupted run is resumed: finished shards are not made again.
"""

import csv
import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from tqdm import tqdm

from dataset.prepare.clips import OK, Clip, crashed, read_clip, table
from dataset.prepare.rows import TRAIN_KINDS, RowWriter, array_paths
from dataset.storage.atomic import write_text
from dataset.storage.parallel import map_in_order

COLUMNS = ("id", "state", "reason", "shard", "row")


def prepare_videos(
    clips: Sequence[Clip],
    folder: str | Path,
    name: str,
    rows_per_shard: int | None = None,
    workers: int = 0,
    frame_format: str = "uint8",
    spect_format: str = "float32",
) -> Counter:
    """Writes the readable clips, in their order, as the training set `name` ("10k", "144k", ...) into a folder.

    rows_per_shard: rows of a file h5py_train_<kind>_<name>_<number>.h5; None: one file without a number. An
    interrupted run with the same clips and settings is resumed; a complete one is left alone. Returns how many clips
    are in which state. Raises FileExistsError where the folder holds something else.
    """
    settings = {
        "name": name,
        "rows_per_shard": rows_per_shard,
        "frame_format": frame_format,
        "spect_format": spect_format,
        "scaled_waveforms": False,  # earlier versions stored them scaled, and do not have this setting
        "clips": len(clips),
        "clips_sha256": hashlib.sha256("".join(f"{clip.id} {clip.refused}\n" for clip in clips).encode()).hexdigest(),
    }
    preparation = PreparationState(folder, settings)
    todo = clips[preparation.state["done"] :]
    results = zip(todo, map_in_order(read_clip, todo, workers, crashed), strict=True)
    results = iter(tqdm(results, "prepare", len(clips), initial=len(clips) - len(todo), unit=" clips"))
    lines = []
    for number in count(preparation.state["shards"] + 1):
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
        preparation.record(lines, number)
        lines = []
    preparation.record(lines, number - 1)  # clips after the last usable one
    return preparation.finish()


def _next_row(results, lines, shard, index=0):
    """The next usable row of results, None if there is none; appends a line of prepared.csv for each clip read."""
    for clip, (state, reason, row) in results:
        lines.append((clip.id, state, reason, *((shard, index) if state == OK else ("", ""))))
        if state == OK:
            return row
    return None


class PreparationState:
    """How much of a preparation is complete and on the disk.

    state: {"settings": dict, "done": clips, "shards": number, "table_bytes": length of prepared.csv, "complete": bool}
    """

    def __init__(self, folder: str | Path, settings: dict):
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
        if not self.state["table_bytes"]:
            self._append([COLUMNS])
            self._save()

    def _resume(self, settings):
        self.state = json.loads(self.file.read_text())
        before = self.state["settings"]
        changed = [key for key in settings if settings[key] != before.get(key)]
        if changed:
            reason = "begun with other " + " and ".join(changed)
            if "scaled_waveforms" not in before:
                reason = "begun by an earlier version, whose waveforms are scaled"
            raise FileExistsError(
                f"{self.folder} was {reason}: resume it with the same clips, settings and version, move it away, or "
                "choose another folder with --out"
            )
        if self.table.exists():  # what follows was not recorded
            os.truncate(self.table, self.state["table_bytes"])

    def record(self, lines: list[tuple], shards: int) -> None:
        """Shards up to a number are on the disk. lines: of the clips since the last call."""
        self._append(lines)
        self.state["done"] += len(lines)
        self.state["shards"] = shards
        self._save()

    def finish(self) -> Counter:
        """Marks the preparation as complete; returns how many clips are in which state."""
        self.state["complete"] = True
        self._save()
        with self.table.open(newline="", encoding="utf-8") as file:
            return Counter(line["state"] for line in csv.DictReader(file))

    def _append(self, lines):
        with self.table.open("ab") as file:
            file.write(table(lines).encode())
            file.flush()
            os.fsync(file.fileno())
            self.state["table_bytes"] = file.tell()

    def _save(self):
        write_text(self.file, json.dumps(self.state, indent=1))
