"""Video files -> their middle frame, or all frames."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

FORMATS = (".mp4", ".mkv", ".webm", ".avi", ".mov")
SHORTFALL = 0.5  # seconds by which a complete video may be shorter than its file says


class NoVideoTrack(ValueError):
    """A file without images."""


def middle_frame(path: str | Path) -> np.ndarray:
    """The frame shown at half of a video's length: (h, w, 3) uint8 RGB, upright.

    Raises NoVideoTrack, or ValueError with the file's name if it cannot be read up to there.
    """
    with _open_video(path) as (container, stream):
        stream.thread_type = "NONE"  # one thread a clip: processes run in parallel
        frame = _frame_at_half(container, stream)
    if frame is None:
        raise ValueError(f"{path} ends before its middle")
    return to_picture(frame)


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
        return _length(container, stream)


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


def _frame_at_half(container, stream):
    """The frame shown at half the stream's length; None where the stream ends before."""
    length = _length(container, stream)
    if length is None:  # count the frames, then read half of them
        frames = sum(1 for _ in container.decode(stream))
        container.seek(0)
        return next((frame for i, frame in enumerate(container.decode(stream)) if i >= frames // 2), None)
    start = float((stream.start_time or 0) * stream.time_base)
    half = start + length / 2
    container.seek(int(half / stream.time_base), stream=stream)  # to the key frame before it
    shown = None
    for frame in container.decode(stream):
        if frame.time is not None and frame.time > half:
            return shown or frame
        shown = frame
    return shown if shown is not None and (shown.time or 0) > half - SHORTFALL else None


def _length(container, stream):
    """Seconds, None if the file does not say."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration else None
