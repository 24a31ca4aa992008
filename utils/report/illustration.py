"""What the report shows of each item, made small by the loader's workers while the evaluation runs."""

import base64
import io
import json

import cv2
import numpy as np
from scipy.io import wavfile
from torch.utils.data import Dataset

from dataset.benchmarks.annotations import GT_SIZE
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
    """A test set whose items have one key more: "illustration", as of `illustrate`. The evaluation passes it on.

    What is shown is what the model was given: of shuffled sounds, the shuffled one.
    """

    def __init__(self, test_set):
        self.test_set, self.benchmark, self.ids = test_set, test_set.benchmark, test_set.ids

    def __len__(self):
        return len(self.test_set)

    def __getitem__(self, index):
        item = self.test_set[index]
        if "error" in item:
            return item
        try:
            sound = self.test_set.waveform(index)
        except (FileNotFoundError, ValueError) as error:
            return {"id": item["id"], "index": index, "error": str(error)}
        return item | {"illustration": illustrate(denormalise(item["image"]), item["gt_map"].numpy(), sound)}

    def find_missing(self):
        return self.test_set.find_missing()


def illustrate(frame, gt_map, waveform):
    """JSON text: frame (JPEG in base64), truth (the outlines of the ground truth), sound (MP3 in base64, or null).

    frame: (h, w, 3) uint8 RGB; gt_map: (224, 224) in [0, 1]; waveform: (n,) float32 at 16 kHz, or None.
    """
    if max(frame.shape) > GT_SIZE:
        frame = cv2.resize(frame, (GT_SIZE, GT_SIZE), interpolation=cv2.INTER_AREA)
    picture = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, FRAME_QUALITY])[1]
    sound = None if waveform is None else _text(compress(waveform))
    return json.dumps({"frame": _text(picture.tobytes()), "truth": outlines(gt_map), "sound": sound})


def outlines(gt_map):
    """Borders of a (h, w) map, one set a level of agreement: polygons [[x, y], ...] along the edges of pixels."""
    polygons = []
    for level in np.unique(gt_map[gt_map > 0]):
        # OpenCV walks through the centres of pixels: on a map of twice the size, those of the outermost halves.
        region = np.kron(gt_map >= level, np.ones((2, 2), bool)).astype(np.uint8)
        for contour in cv2.findContours(region, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]:
            polygons.append(((contour[:, 0] + 1) // 2).tolist())
    return polygons


def compress(waveform):
    """(n,) float32 at 16 kHz -> the bytes of an MP3 file, of an 8-bit WAV file where PyAV is missing."""
    buffer = io.BytesIO()
    if av is None:
        wavfile.write(buffer, RATE, np.clip(waveform * 127 + 128, 0, 255).round().astype(np.uint8))
        return buffer.getvalue()
    with av.open(buffer, "w", format="mp3") as container:
        # Level 7 of 0 (slow) to 9: half the time of the usual 5, and at so few bits the same sound.
        stream = container.add_stream("libmp3lame", rate=RATE, layout="mono", options={"compression_level": "7"})
        stream.bit_rate = SOUND_BITS
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(waveform, np.float32)[None], "fltp", "mono")
        frame.sample_rate, frame.pts = RATE, 0
        resampler = av.AudioResampler("fltp", "mono", RATE, frame_size=stream.codec_context.frame_size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def _text(data):
    return base64.b64encode(data).decode("ascii")
