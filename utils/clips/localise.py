"""Localisation over time in the user's own clips: python test.py --clip video.mp4 photo.jpg sound.wav ..."""

import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from dataset.frontends import FrontEnd
from dataset.media import video
from dataset.media.audio import RATE, SOUND_FORMATS, SoundAround, fit_length
from dataset.media.image import read_image, test_image
from dataset.media.pictures import contact_sheet, write_png
from dataset.prepare.clips import IMAGE_FORMATS, SHORTEST, SILENCE, Clip
from dataset.storage.atomic import write_text
from utils.clips.overlay_video import draw, save_video
from utils.evaluation.evaluate import heat_maps
from utils.evaluation.thresholds import RULES
from utils.results.provenance import PROTOCOL

STEPS = 5  # maps a second
BAR = "{desc}: {percentage:3.0f} %|{bar}| [{elapsed}, left: {remaining}]"
RULE = {
    "sound": "what the front end reads around each time; at the ends of the clip what exists of it, repeated",
    "upsampling": PROTOCOL["upsampling"],
    "normalisation": PROTOCOL["normalisation"],
    "predicted": RULES["fixed0.5"],
}


class Step(NamedTuple):
    """time: in seconds; silent: no sample of the sound exceeds SILENCE; cosines: the model's map, (h, w) float32."""

    time: float
    silent: bool
    cosines: np.ndarray

    @property
    def heat(self) -> np.ndarray:
        """(224, 224) in [0, 1], as in the evaluation. Not kept: a long film has many steps."""
        return heat_maps(torch.from_numpy(self.cosines)[None], [f"the step at {self.time:.1f} s"])[0]


def find_clips(files: list[str]) -> list[Clip]:
    """The clips that a command line names: videos, and images, each followed by its sound file.

    Raises ValueError for any other file, an image without its sound, and two clips of one name.
    """
    clips, files = [], [Path(file) for file in files]
    while files:
        path = files.pop(0)
        suffix = path.suffix.lower()
        if suffix in video.FORMATS:
            clips.append(Clip(path.stem, video=path))
        elif suffix in IMAGE_FORMATS:
            if not files or files[0].suffix.lower() not in SOUND_FORMATS:
                raise ValueError(f"--clip: {path} is an image, its sound file ({', '.join(SOUND_FORMATS)}) must follow")
            clips.append(Clip(path.stem, frames=(path,), sound=files.pop(0)))
        else:
            formats = ", ".join(video.FORMATS)
            raise ValueError(f"--clip: {path} is neither a video ({formats}) nor an image with a sound")
    names = [clip.id for clip in clips]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ValueError(f"--clip: two clips are named {twice}: rename one, or give each a --ckpt of its own")
    return clips


def localise_clips(
    model: nn.Module, clips: list[Clip], folder: Path, weights: dict, front_end: FrontEnd, size=224, batch_size=64
) -> int:
    """Writes <name>.mp4 with the original sound, <name>.png and <name>.json of each clip. Prints the reason where one
    fails, and goes on with the next.

    Args:
        model: on its device.
        weights: what describes them in the JSON file.
        size: side of the network's input in pixels.
        front_end: how the model reads sounds.
    Returns: the number of clips that failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    for clip in clips:
        try:
            sound = clip.video or clip.sound
            paths = {"clip": str((clip.video or clip.frames[0]).resolve()), "sound": str(sound.resolve())}
            settings = {**paths, "weights": weights, "imgSize": size}
            files = {kind: folder / f"{clip.id}.{kind}" for kind in ("json", "mp4", "png")}
            check_free(files, settings)
            steps = localise(model, clip, size, batch_size, front_end)
            head = json.dumps({**settings, "rule": RULE, "steps_per_second": STEPS}, indent=1).removesuffix("\n}")
            lines = ",\n  ".join(json.dumps(describe(step)) for step in steps)  # a line for each step
            write_text(files["json"], f'{head},\n "steps": [\n  {lines}\n ]\n}}\n')
            tiles = []
            save_video(files["mp4"], draw(frames_of(clip, "drawing"), steps, 1 / STEPS, tiles), sound)
            write_png(files["png"], contact_sheet(tiles, len(tiles)))
            print(f"{clip.id}: {len(steps)} steps, {folder / clip.id}.mp4, .png, .json")
        except (FileNotFoundError, FileExistsError, ValueError) as error:
            failed += 1
            print(f"{clip.id}: left out: {error}")
    return failed


def check_free(files: dict[str, Path], settings: dict):
    """Raises FileExistsError where one of the files exists and was not made with these settings."""
    before = json.loads(files["json"].read_text()) if files["json"].is_file() else {}
    existing = next((path for path in files.values() if path.exists()), None)
    if existing and any(before.get(key) != value for key, value in settings.items()):
        raise FileExistsError(
            f"{existing} exists, but is not of this clip and these weights: move it away, or choose another --ckpt"
        )


def frames_of(clip: Clip, task: str) -> Iterator[tuple[float, Callable]]:
    """Yields (seconds, function that returns the picture (h, w, 3) uint8 RGB), and shows the progress of the task.

    An image lasts as long as its sound.
    """
    length = (video.video_length(clip.video) if clip.video else SoundAround(clip.sound).length) or 0
    if clip.video:
        frames = ((time, partial(video.to_picture, frame)) for time, frame in video.read_frames(clip.video))
    else:
        picture = read_image(clip.frames[0], upright=True)
        frames = ((k / STEPS, lambda: picture) for k in range(max(math.ceil(length * STEPS), 1)))
    with tqdm(total=length, desc=f"{clip.id[:24]}, {task}", bar_format=BAR, leave=False) as bar:
        for time, picture_at in frames:
            bar.update(max(time - bar.n, 0))
            yield time, picture_at


@torch.no_grad()
def localise(model: nn.Module, clip: Clip, size: int, batch_size: int, front_end: FrontEnd) -> list[Step]:
    """The steps of a clip: the first frame in each 1 / STEPS s, with the sound around it.

    Frames with less than SHORTEST seconds of sound around them have no step. Raises ValueError where all are such.
    """
    model.eval()
    device = next(model.parameters()).device
    sound = SoundAround(clip.video or clip.sound, front_end.seconds)
    steps, batch, last = [], [], None
    # The same two arrays for all batches: new ones, between what is kept, would fragment the memory, which would then
    # grow with the length of the film.
    images, sounds = torch.empty(batch_size, 3, size, size), torch.empty(batch_size, *front_end.shape)

    def run_batch():
        inputs = (rows[: len(batch)].to(device) for rows in (images, sounds))
        maps = model.localize(*inputs).float().cpu().numpy()
        steps.extend(Step(*one, cosines.copy()) for one, cosines in zip(batch, maps, strict=True))
        batch.clear()

    for time, picture in frames_of(clip, "localising"):
        part = math.floor(time * STEPS + 1e-6)
        if part == last:
            continue
        last, waveform = part, sound.at(time)
        if len(waveform) < SHORTEST * RATE:
            continue
        images[len(batch)] = test_image(picture(), size)
        sounds[len(batch)] = torch.from_numpy(front_end.compute(fit_length(waveform, front_end.seconds)))
        batch.append((time, bool(np.abs(waveform).max() < SILENCE)))
        if len(batch) == batch_size:
            run_batch()
    if batch:
        run_batch()
    if not steps:
        raise ValueError(f"{clip.video or clip.sound} has less than {SHORTEST} s of sound: give a longer one")
    return steps


def describe(step: Step) -> dict:
    """A step for JSON: points as x, y and boxes as x0, y0, x1, y1, all in 0..1 of the frame."""
    heat = step.heat
    side = len(heat)
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    parts = cv2.connectedComponentsWithStats((heat >= 0.5).astype(np.uint8))[2][1:]
    parts = parts[np.argsort(-parts[:, cv2.CC_STAT_AREA], kind="stable")]
    cosines = {"lowest": step.cosines.min(), "mean": step.cosines.mean(), "highest": step.cosines.max()}
    return {
        "time": round(step.time, 3),
        "silent": step.silent,
        "cosine": {key: round(float(value), 4) for key, value in cosines.items()},
        "peak": [round((float(value) + 0.5) / side, 4) for value in (x, y)],
        "area": round(float((heat >= 0.5).mean()), 4),
        "boxes": [  # of the connected parts of the predicted region, the largest first
            [round(int(value) / side, 4) for value in (left, top, left + width, top + height)]
            for left, top, width, height, _ in parts
        ],
    }
