"""Which clips are test clips: training sets must not contain them."""

from collections.abc import Sequence
from pathlib import Path

from dataset.benchmarks.ids import read_clip_names, video_of
from metadata import METADATA


def find_test_lists(folder: str | Path = METADATA) -> list[Path]:
    """The files in a folder that name test clips: *test*.csv, .txt and .json, and *_boxes.json."""
    found = {*Path(folder).glob("*test*"), *Path(folder).glob("*_boxes.json")}
    return sorted(path for path in found if path.suffix in (".csv", ".txt", ".json"))


class TestClips:
    """The clips of some test lists. paths: the lists' files."""

    __test__ = False  # not a case for pytest

    def __init__(self, paths: Sequence[str | Path]):
        self.lists = {Path(path).name: frozenset(read_clip_names(path)) for path in paths}
        self._list_of = {name: path for path, names in self.lists.items() for name in names}
        self._clip_of = {video: name for name in self._list_of if (video := video_of(name))}

    def __contains__(self, name: str) -> bool:
        return name in self._list_of

    def refuse(self, name: str) -> str | None:
        """Why a clip_name must not be trained on: it, or its YouTube video, is in a list. None if it may be."""
        if name in self._list_of:
            return f"test clip of {self._list_of[name]}"
        if video_of(name) in self._clip_of:
            test_clip = self._clip_of[video_of(name)]
            return f"same video as test clip {test_clip} of {self._list_of[test_clip]}"
        return None


def check_ids(path: str | Path, test_clips: TestClips) -> tuple[list[str], int]:
    """What a list of ids shares with TestClips: lines of text, and the number of its clips that are test clips.

    A test clip named by its YouTube video alone (AVSBench) is any part of that video.
    """
    names = set(read_clip_names(path))
    videos = {video for name in names if (video := video_of(name))}
    whole = {name for tests in test_clips.lists.values() for name in tests if video_of(name) == name}
    lines = [f"{path}: {len(names)} clips"]
    for list_name, tests in test_clips.lists.items():
        shared = {name for name in tests if name in names or (name in whole and name in videos)}
        cut_elsewhere = sum(video_of(name) in videos for name in tests - shared)
        lines.append(
            f"  {list_name}: {len(shared)} of its {len(tests)} clips, "
            f"and other parts of the videos of {cut_elsewhere} more"
        )
    leaked = sum(name in test_clips or video_of(name) in whole for name in names)
    lines.append(f"{leaked} test clips in all")
    return lines, leaked
