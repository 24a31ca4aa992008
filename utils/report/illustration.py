"""What the report shows of each item, compressed by the loader's workers while the evaluation runs."""

import base64
import io
import json

import cv2
import numpy as np
from scipy.io import wavfile
from torch.utils.data import Dataset

from dataset.benchmarks.annotations import GT_SIZE
from dataset.benchmarks.test_sets import TestSet
from dataset.media.audio import RATE
from dataset.media.image import denormalise

try:
    import av  # compresses the sounds; without it they take five times the space
except ImportError:
    av = None

FRAME_QUALITY = 75  # JPEG's, of frames of at most GT_SIZE pixels: about 10 KB
SOUND_BITS = 24_000  # a second, MP3: every browser plays it; 9 KB for 3 s
SOUND_TYPE = "audio/mpeg" if av else "audio/wav"


class Illustrated(Dataset):
    """A test set whose items have one more key: "illustration", as of `illustrate`. The evaluation passes it on.

    The report shows the model's input: with shuffled audio, the shuffled sound.
    """

    def __init__(self, test_set: TestSet):
        self.test_set, self.benchmark, self.ids = test_set, test_set.benchmark, test_set.ids

    def __len__(self) -> int:
        return len(self.test_set)

    def __getitem__(self, index: int) -> dict:
        item = self.test_set[index]
        if "error" in item:
            return item
        try:
            sound = self.test_set.waveform(index)
        except (FileNotFoundError, ValueError) as error:
            return {"id": item["id"], "index": index, "error": str(error)}
        return item | {"illustration": illustrate(denormalise(item["image"]), item["gt_map"].numpy(), sound)}

    def find_missing(self) -> dict[str, str]:
        return self.test_set.find_missing()


def illustrate(frame: np.ndarray, gt_map: np.ndarray, waveform: np.ndarray | None) -> str:
    """JSON text: frame and sound (or null) as data URLs, truth as the outlines of the ground truth.

    frame: (h, w, 3) uint8 RGB; gt_map: (224, 224) in [0, 1]; waveform: (n,) float32 at 16 kHz, or None.
    """
    if max(frame.shape) > GT_SIZE:
        frame = cv2.resize(frame, (GT_SIZE, GT_SIZE), interpolation=cv2.INTER_AREA)
    picture = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, FRAME_QUALITY])[1]
    sound = None if waveform is None else _data_url(SOUND_TYPE, compress(waveform))
    return json.dumps({"frame": _data_url("image/jpeg", picture.tobytes()), "truth": outlines(gt_map), "sound": sound})


def outlines(gt_map: np.ndarray) -> str:
    """Borders of a (h, w) map, at each level of agreement, as an SVG path along the edges of pixels."""
    path = ""
    for level in np.unique(gt_map[gt_map > 0]):
        # OpenCV's contours join the centres of pixels: on a map of twice the size, those of the outermost halves.
        region = np.kron(gt_map >= level, np.ones((2, 2), bool)).astype(np.uint8)
        for contour in cv2.findContours(region, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]:
            path += "M" + "L".join(f"{x} {y}" for x, y in (contour[:, 0] + 1) // 2) + "Z"
    return path


def compress(waveform: np.ndarray) -> bytes:
    """(n,) float32 at 16 kHz -> the bytes of an MP3 file, of an 8-bit WAV file where PyAV is missing."""
    buffer = io.BytesIO()
    if av is None:
        wavfile.write(buffer, RATE, np.clip(waveform * 127 + 128, 0, 255).round().astype(np.uint8))
        return buffer.getvalue()
    with av.open(buffer, "w", format="mp3") as container:
        # Level 7 of 0 (slow) to 9 takes half the time of the usual 5; at this bit rate the sound is the same.
        stream = container.add_stream("libmp3lame", rate=RATE, layout="mono", options={"compression_level": "7"})
        stream.bit_rate = SOUND_BITS
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(waveform, np.float32)[None], "fltp", "mono")
        frame.sample_rate, frame.pts = RATE, 0
        resampler = av.AudioResampler("fltp", "mono", RATE, frame_size=stream.codec_context.frame_size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def _data_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
