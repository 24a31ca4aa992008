"""Names of clips, and which of them are test clips: training lists must not hold those."""

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


def find_test_lists(folder=METADATA):
    """The files in a folder that name test clips: *test*.csv, .txt and .json."""
    return sorted(path for path in Path(folder).glob("*test*") if path.suffix in (".csv", ".txt", ".json"))


class TestClips:
    """The clips of some test lists. paths: the lists' files."""

    __test__ = False  # not a case for pytest

    def __init__(self, paths):
        self.lists = {Path(path).name: frozenset(read_clip_names(path)) for path in paths}
        self._list_of = {name: path for path, names in self.lists.items() for name in names}
        self._clip_of = {video: name for name in self._list_of if (video := video_of(name))}

    def refuse(self, name):
        """Why a clip_name must not be trained on, None if it may be: it, or its YouTube video, is in a list."""
        if name in self._list_of:
            return f"test clip of {self._list_of[name]}"
        if video_of(name) in self._clip_of:
            test_clip = self._clip_of[video_of(name)]
            return f"same video as test clip {test_clip} of {self._list_of[test_clip]}"
        return None


def check_ids(path, test_clips):
    """What a list of ids shares with TestClips: lines of text, and the number of its clips that are test clips."""
    names = set(read_clip_names(path))
    videos = {video for name in names if (video := video_of(name))}
    lines = [f"{path}: {len(names)} clips"]
    for list_name, tests in test_clips.lists.items():
        cut_elsewhere = sum(video_of(name) in videos for name in tests - names)
        lines.append(
            f"  {list_name}: {len(names & tests)} of its {len(tests)} clips, "
            f"and other parts of the videos of {cut_elsewhere} more"
        )
    leaked = sum(any(name in tests for tests in test_clips.lists.values()) for name in names)
    lines.append(f"{leaked} test clips in all")
    return lines, leaked
