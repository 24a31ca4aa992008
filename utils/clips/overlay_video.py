"""Pictures of a clip: the frame under its heat map, and the video of them with the original sound."""

from fractions import Fraction
from heapq import merge

import cv2
import numpy as np

from dataset.storage.atomic import replacing

LONGEST = 1280  # pixels of a side of the overlay video
TILES = 8  # of the strip
TILE_WIDTH, CAPTION = 240, 24  # pixels
YELLOW, DARK = (255, 225, 0), (40, 40, 40)
CLOCK = 90_000  # ticks a second, of the video's time stamps
COPIED = ("aac", "mp3", "ac3", "alac")  # sounds that players expect in an mp4 file; others become AAC
AAC_RATE = 48_000  # samples a second; not all rates that sounds come in are AAC's


def overlay(frame, heat):
    """A frame under a heat map, the more of it the higher, with the outline of the predicted region (yellow).

    frame: (h, w, 3) uint8 RGB; heat: any size, in [0, 1]. Returns the frame's shape and type.
    """
    height, width = frame.shape[:2]
    heat = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    weight = 0.07 + 0.53 * heat
    picture = cv2.blendLinear(np.ascontiguousarray(colours), np.ascontiguousarray(frame), weight, 1 - weight)
    borders = cv2.findContours((heat >= 0.5).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
    thin = max(1, round(max(height, width) / 320))
    cv2.drawContours(picture, borders, -1, DARK, 3 * thin, cv2.LINE_AA)
    cv2.drawContours(picture, borders, -1, YELLOW, thin, cv2.LINE_AA)
    return picture


def draw(frames, steps, patience, tiles):
    """Yields (seconds, picture) of frames, (seconds, function that returns the picture), each under the heat map of the
    nearest of the steps; without one where none is nearer than `patience` seconds.

    tiles: a list, to which the tiles of the strip are added, TILES of the steps at most.
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


def fit(frame):
    """Scales a frame so that its sides are even, as the codec wants them, and not longer than LONGEST."""
    height, width = frame.shape[:2]
    scale = min(1, LONGEST / max(height, width))
    size = tuple(max(2 * round(side * scale / 2), 2) for side in (width, height))
    return frame if size == (width, height) else cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


def make_tile(frame, drawn, time):
    """A tile of the strip: the time, the frame, and the frame under its heat map: (h, TILE_WIDTH, 3) uint8."""
    size = TILE_WIDTH, max(round(TILE_WIDTH * frame.shape[0] / frame.shape[1]), 1)
    caption = np.full((CAPTION, TILE_WIDTH, 3), 255, np.uint8)
    cv2.putText(caption, f"{time:.1f} s", (2, CAPTION - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([caption, *(cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (frame, drawn))])


def save_overlay(path, pictures, sound):
    """Writes an H.264 mp4 file of (seconds, (h, w, 3) uint8 RGB of even sides), with the sound of the file `sound`.

    The sound is copied bit by bit where mp4 can hold it, else encoded as AAC. Both keep their times.
    """
    import av  # only needed for videos

    with replacing(path, "wb") as file, av.open(file, "w", format="mp4") as output, av.open(str(sound)) as source:
        video = output.add_stream("libx264", rate=25, options={"preset": "veryfast", "crf": "20"})
        video.pix_fmt, video.codec_context.time_base = "yuv420p", Fraction(1, CLOCK)
        heard = source.streams.audio[0]
        if heard.codec_context.name in COPIED:
            audio = output.add_stream_from_template(heard)
            packets = _copied(source, heard, audio)
        else:
            audio = output.add_stream("aac", rate=AAC_RATE, layout="mono" if heard.channels == 1 else "stereo")
            packets = _encoded(source.decode(heard), audio)
        frames = _encoded(_frames(pictures, video), video)
        # In the order of their times: so the file can be played while it loads, and nothing piles up in memory.
        for packet in merge(frames, packets, key=lambda packet: packet.dts * packet.time_base):
            output.mux(packet)


def _frames(pictures, stream):
    """Pictures as frames of a stream, whose size is that of the first."""
    import av

    for i, (time, picture) in enumerate(pictures):
        if i == 0:
            stream.height, stream.width = picture.shape[:2]
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = round(time * CLOCK), Fraction(1, CLOCK)
        yield frame


def _encoded(frames, stream):
    """Packets of a stream's encoder."""
    for frame in frames:
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _copied(container, stream, target):
    """Packets of a stream as they are, for another container."""
    for packet in container.demux(stream):
        if packet.dts is not None:  # the last one is empty
            packet.stream = target
            yield packet
