"""Video: the middle frame of a clip."""

from pathlib import Path

import numpy as np

FORMATS = (".mp4", ".mkv", ".webm", ".avi", ".mov")
SHORTFALL = 0.5  # seconds that a video may end before the time it says, and still be whole


class NoVideoTrack(ValueError):
    """A file without pictures."""


def middle_frame(path):
    """The frame shown at half of a video's length: (h, w, 3) uint8 RGB, upright.

    Raises NoVideoTrack, or ValueError with the file's name for what cannot be read up to there.
    """
    try:
        import av  # only needed for videos: training and testing run without it
    except ImportError:
        raise ValueError("reading videos needs PyAV: pip install av") from None

    path = Path(path)
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise NoVideoTrack(f"{path} has no pictures")
            stream = container.streams.video[0]
            stream.thread_type = "NONE"  # one clip, one thread: the processes are what runs in parallel
            frame = _frame_at_half(container, stream)
    except (av.FFmpegError, OSError) as error:
        raise ValueError(f"{path} cannot be read as video ({error})") from None
    if frame is None:
        raise ValueError(f"{path} ends before its middle")
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90))


def _frame_at_half(container, stream):
    """The last frame not after half the stream's length; None where the stream ends before."""
    length = _length(container, stream)
    if length is None:  # the file does not say: count, then count again to half
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
    """Seconds, None if the file does not tell."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration else None
