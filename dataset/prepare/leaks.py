"""Which clips are test clips: training lists must not hold those."""

from pathlib import Path

from dataset.benchmarks.ids import METADATA, read_clip_names, video_of


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
