"""Names of clips, in the forms that lists and downloaders give them."""

import csv
import json
import re
from pathlib import Path, PurePosixPath

SUFFIXES = re.compile(r"\.(mp4|mkv|webm|avi|mov|wav|mp3|flac|ogg|jpe?g|png)$", re.IGNORECASE)
YOUTUBE_MS = re.compile(r"(?P<video>[\w-]{11})_(?P<start>\d+)_\d+")  # start and end in milliseconds
TIMES = r"(_\d+(\.\d+)?){0,2}"  # nothing, a start, or start and end
# AudioSet's files begin with Y; 11 digits alone are a Flickr id; AVSBench's frames may be <video>_<n>.mp4_<frame>.
YOUTUBE = re.compile(rf"Y?(?!\d{{11}}$)(?P<video>[\w-]{{11}}){TIMES}(\.mp4_\d+)?")
TITLED = re.compile(r".*\[(?P<video>[\w-]{11})\]")  # as yt-dlp names its files


def clip_name(text: str) -> str:
    """The id of a clip: without a suffix; YouTube clips named by milliseconds become <video>_<start in s, 6 digits>."""
    name = SUFFIXES.sub("", text.strip())
    if match := YOUTUBE_MS.fullmatch(name):
        return f"{match['video']}_{int(match['start']) // 1000:06d}"
    return name


def video_of(name: str) -> str | None:
    """The YouTube id in a clip's name, with or without a start; None in a name of another form.

    Any name of 11 letters, digits, "-" and "_", alone or before "_<number>", counts as a YouTube id.
    """
    match = YOUTUBE.fullmatch(name) or TITLED.fullmatch(name)
    return match and match["video"]


def read_clip_names(path: str | Path) -> list[str]:
    """clip_names in a list of clips, in its order.

    Args:
        path: a text file with one clip a line: the id in its first column, or a YouTube id and a start in seconds in
            the first two (VGG-Sound, AudioSet), or, below a header video,audio, the ids of a frame and of a sound. Or
            a JSON list of VGG-SS ("file" of each item) or of IS3, VPO and AVSBench ("audio").
    Raises:
        FileNotFoundError, or ValueError for a file of another format.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: name a list of ids, one a line")
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".json":
            names = [item["file"] if "file" in item else PurePosixPath(item["audio"]).name for item in json.loads(text)]
            return list(dict.fromkeys(map(clip_name, names)))  # AVSBench has several frames of a sound
        rows = [row for row in csv.reader(text.splitlines(), skipinitialspace=True) if row and row[0].strip()]
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise ValueError(f"{path} is no list of ids ({error!r:.80}): give one id a line") from None
    rows = [row for row in rows if not row[0].startswith("#")]
    if rows and rows[0][:2] == ["video", "audio"]:
        return list(dict.fromkeys(clip_name(name) for row in rows[1:] for name in row[:2]))
    if rows and rows[0][0] in ("video", "id", "file"):
        rows = rows[1:]
    return [_name_of(row) for row in rows]


def _name_of(row):
    """The clip_name in one line's columns."""
    if len(row) > 1 and video_of(row[0]) == row[0] and re.fullmatch(r"\d+(\.\d+)?", row[1]):
        return f"{row[0]}_{int(float(row[1])):06d}"
    return clip_name(row[0])
