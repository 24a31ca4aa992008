"""The pictures of a clip: frames under their heat maps, as a video with the original sound and as a strip."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from heapq import merge
from pathlib import Path

import cv2
import numpy as np

from dataset.storage.atomic import replacing
from utils.evaluation.overlays import overlay

LONGEST = 1280  # pixels of a side of the overlay video
TILES = 8  # of the strip
TILE_WIDTH, CAPTION = 240, 24  # pixels
CLOCK = 90_000  # ticks a second, of the video's time stamps
COPIED = ("aac", "mp3", "ac3", "alac")  # codecs that players expect in an mp4 file; other sounds become AAC
AAC_RATE = 48_000  # samples a second; AAC does not support every rate


def draw(frames: Iterable, steps: list, patience: float, tiles: list) -> Iterator[tuple[float, np.ndarray]]:
    """Yields (seconds, picture) of the frames, each under the heat map of the nearest step.

    Args:
        frames: (seconds, function that returns the picture). steps: with time and heat.
        patience: seconds; a frame farther from all steps gets no heat map.
        tiles: a list, to which the tiles of the strip are added, of TILES steps at most.
    """
    times = np.array([step.time for step in steps])
    chosen = set(times[np.linspace(0, len(steps) - 1, min(TILES, len(steps))).astype(int)])
    nearest, heat = None, None
    for time, picture in frames:
        frame = fit(picture())
        index = int(np.abs(times - time).argmin())
        if index != nearest:
            nearest, heat = index, steps[index].heat
        drawn = overlay(frame, heat) if abs(times[index] - time) <= patience else frame
        if time in chosen:
            tiles.append(make_tile(frame, drawn, time))
        yield time, drawn


def fit(frame: np.ndarray) -> np.ndarray:
    """Scales a frame to even sides, as the codec needs them, of at most LONGEST pixels."""
    height, width = frame.shape[:2]
    scale = min(1, LONGEST / max(height, width))
    size = tuple(max(2 * round(side * scale / 2), 2) for side in (width, height))
    return frame if size == (width, height) else cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


def make_tile(frame: np.ndarray, drawn: np.ndarray, time: float) -> np.ndarray:
    """A tile of the strip, (h, TILE_WIDTH, 3) uint8: the time, the frame, and the frame under its heat map."""
    size = TILE_WIDTH, max(round(TILE_WIDTH * frame.shape[0] / frame.shape[1]), 1)
    caption = np.full((CAPTION, TILE_WIDTH, 3), 255, np.uint8)
    cv2.putText(caption, f"{time:.1f} s", (2, CAPTION - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([caption, *(cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (frame, drawn))])


def save_video(path: Path, pictures: Iterable[tuple[float, np.ndarray]], sound: Path):
    """Writes an H.264 mp4 file of pictures (h, w, 3) uint8 RGB of even sides, with the sound of another file.

    The sound is copied unchanged where mp4 can hold it, else encoded as AAC. Both keep their times.
    """
    import av  # only needed for videos

    with replacing(path, "wb") as file, av.open(file, "w", format="mp4") as output, av.open(str(sound)) as source:
        video = output.add_stream("libx264", rate=25, options={"preset": "veryfast", "crf": "20"})
        video.pix_fmt, video.codec_context.time_base = "yuv420p", Fraction(1, CLOCK)
        original = source.streams.audio[0]
        if original.codec_context.name in COPIED:
            packets = _copied(source, original, output.add_stream_from_template(original))
        else:
            layout = "mono" if original.channels == 1 else "stereo"
            packets = _encoded(source.decode(original), output.add_stream("aac", rate=AAC_RATE, layout=layout))
        frames = _encoded(_frames(pictures, video), video)
        # In the order of their times: the file can be played while it loads, and no packets pile up in memory.
        for packet in merge(frames, packets, key=lambda packet: packet.dts * packet.time_base):
            output.mux(packet)


def _frames(pictures, stream):
    """Pictures as frames of a stream, whose size is the first picture's."""
    import av

    for i, (time, picture) in enumerate(pictures):
        if i == 0:
            stream.height, stream.width = picture.shape[:2]
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = round(time * CLOCK), Fraction(1, CLOCK)
        yield frame


def _encoded(frames, stream):
    """The packets of a stream's encoder."""
    for frame in frames:
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _copied(container, stream, target):
    """The packets of a stream, unchanged, for another container."""
    for packet in container.demux(stream):
        if packet.dts is not None:  # the last one is empty
            packet.stream = target
            yield packet
