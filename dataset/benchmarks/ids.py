"""Names of clips, however a list writes them."""

import json
import re
from pathlib import Path

METADATA = Path(__file__).parents[2] / "metadata"
SUFFIXES = re.compile(r"\.(mp4|mkv|webm|avi|mov|wav|mp3|flac|ogg|jpe?g|png)$", re.IGNORECASE)
YOUTUBE = re.compile(r"(?P<video>[\w-]{11})_(?P<start>\d{6})")  # seconds
YOUTUBE_MS = re.compile(r"(?P<video>[\w-]{11})_(?P<start>\d+)_\d+")  # the same clip, in milliseconds: from, to


def clip_name(text):
    """The id of a clip however a list writes it: without a suffix, YouTube clips as <video>_<start, 6 digits>."""
    name = SUFFIXES.sub("", text.strip())
    if match := YOUTUBE_MS.fullmatch(name):
        return f"{match['video']}_{int(match['start']) // 1000:06d}"
    return name


def video_of(name):
    """The YouTube id in a clip_name, None in any other."""
    match = YOUTUBE.fullmatch(name)
    return match and match["video"]


def read_clip_names(path):
    """clip_names in a list: the first column of each line after a possible header, or "file" of a JSON list's items.

    Raises FileNotFoundError, or ValueError for what is no such list.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: name a list of ids, one a line")
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".json":
            return [clip_name(item["file"]) for item in json.loads(text)]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no list of ids ({error!r:.80}): give one id a line") from None
    names = [clip_name(line.split(",")[0]) for line in text.splitlines() if line.strip()]
    return names[1:] if names[:1] in (["video"], ["id"], ["file"]) else names
