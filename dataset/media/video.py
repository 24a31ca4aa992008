"""Video files -> their middle frame, or all frames."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np

from dataset.media.audio import SECONDS

FORMATS = (".mp4", ".mkv", ".webm", ".avi", ".mov")
SHORTFALL = 0.5  # seconds by which a complete video may be shorter than its file says


class NoVideoTrack(ValueError):
    """A file without images."""


def middle_frame(path: str | Path) -> np.ndarray:
    """The frame of `middle`: (h, w, 3) uint8 RGB, upright."""
    return middle(path)[0]


def middle(path: str | Path) -> tuple[np.ndarray, float | None]:
    """A frame from the middle of a video, (h, w, 3) uint8 RGB, upright, and the time in s of the sound to go with it.

    Where images and sound have the same middle, to within SHORTFALL, the time is None: it is the sound's own middle.
    Otherwise it is the middle of the part that has both. Raises NoVideoTrack, or ValueError with the file's name if the
    file cannot be read up to there, or has no part with both.
    """
    with _open_video(path) as (container, stream):
        stream.thread_type = "NONE"  # one thread a clip: processes run in parallel
        images = _span(container, stream)
        if images is None:  # count the frames, then read half of them
            frames = sum(1 for _ in container.decode(stream))
            container.seek(0)
            return to_picture(next(islice(container.decode(stream), frames // 2, None))), None
        sound = _span(container, container.streams.audio[0]) if container.streams.audio else None
        time = _common_middle(path, images, sound)
        at = sum(images) / 2 if time is None else time
        frame, end = _frame_at(container, stream, at)
        if end < at - SHORTFALL:
            if frame is None or frame.time is None or not _is_complete(container, images[1]):
                raise ValueError(f"{path} ends before its middle")
            if frame.time > images[0]:  # not a still image: in Matroska, the length was that of the sound
                images = images[0], end
                time = _common_middle(path, images, sound)
                frame, _ = _frame_at(container, stream, sum(images) / 2 if time is None else time)
        return to_picture(frame), time


def read_frames(path: str | Path) -> Iterator[tuple]:
    """Yields (seconds, frame) of a video in the order of presentation; `to_picture` converts a frame to an array.

    Only a few frames are in memory at any time. Raises as middle_frame does; for a truncated video, at its end.
    """
    with _open_video(path) as (container, stream):
        stream.thread_type = "AUTO"
        rate = stream.average_rate or stream.guessed_rate or 25
        last = -1.0
        for index, frame in enumerate(container.decode(stream)):
            time = float(index / rate) if frame.time is None else frame.time
            if time > last:  # frames without a duration, or out of order, are damage
                yield time, frame
                last = time
        if last < 0:
            raise ValueError(f"{path} has no frame: replace the file")


def to_picture(frame) -> np.ndarray:
    """A decoded frame as (h, w, 3) uint8 RGB, upright."""
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90))


def video_length(path: str | Path) -> float | None:
    """Seconds of a video, None if the file does not say."""
    with _open_video(path) as (container, stream):
        span = _span(container, stream)
        return span and span[1] - span[0]


@contextmanager
def _open_video(path):
    """The container of a file and its first video stream. Errors of reading become a ValueError with its name."""
    try:
        import av  # only needed for videos: training and testing run without it
    except ImportError:
        raise ValueError("reading videos needs PyAV: pip install av") from None

    path = Path(path)
    try:
        with av.open(str(path.absolute())) as container:  # absolute: see audio.py
            if not container.streams.video:
                raise NoVideoTrack(f"{path} has no images")
            yield container, container.streams.video[0]
    except (av.FFmpegError, OSError) as error:
        raise ValueError(f"{path} cannot be read as video ({error})") from None


def _frame_at(container, stream, time):
    """The frame shown at a time (None if there is none), and the time at which the next one follows.

    The last frame of a stream counts as shown for as long as the one before it."""
    container.seek(int(time / stream.time_base), stream=stream)  # to the key frame before it
    before = shown = None
    for frame in container.decode(stream):
        if frame.time is not None and frame.time > time:
            return shown or frame, frame.time
        before, shown = shown, frame
    if shown is None or shown.time is None:
        return shown, -math.inf
    return shown, shown.time + (shown.time - before.time if before else 0)


def _common_middle(path, images, sound):
    """The time of `middle`, of two spans (start, end) in s."""
    if sound is None or abs(sum(images) - sum(sound)) <= 2 * SHORTFALL:
        return None
    start, end = max(images[0], sound[0]), min(images[1], sound[1])
    if start > end:
        raise ValueError(f"{path} has no part with both images and sound")
    half = min(SECONDS, sound[1] - sound[0]) / 2  # as much sound as there is lies around the time
    return min(max((start + end) / 2, sound[0] + half), sound[1] - half)


def _is_complete(container, end):
    """Whether any stream of a file goes on to its end; in a truncated file none does."""
    container.seek(0)
    ends = [(packet.pts + (packet.duration or 0)) * packet.time_base for packet in container.demux() if packet.pts]
    return max(ends, default=0) > end - SHORTFALL


def _span(container, stream):
    """Start and end of a stream in s; the end is the file's where the stream has none, as in Matroska. None where the
    file does not say."""
    start = float((stream.start_time or 0) * stream.time_base)
    if stream.duration:
        return start, start + float(stream.duration * stream.time_base)
    if not container.duration:
        return None
    end = container.duration / 1e6  # Matroska: counted from 0, whatever the start
    return start, end if "matroska" in container.format.name else start + end
