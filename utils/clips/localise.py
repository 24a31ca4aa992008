"""Localisation over time in one's own clips: python test.py --clip video.mp4 photo.jpg sound.wav ..."""

import json
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from dataset.frontends.log_mel import BANDS, HOP, PATCH, log_mel_patches, scale
from dataset.media import video
from dataset.media.audio import RATE, SAMPLES, SOUND_FORMATS, SoundAround, fit_length
from dataset.media.image import read_image, test_image
from dataset.media.pictures import contact_sheet, write_png
from dataset.prepare.clips import IMAGE_FORMATS, SHORTEST, SILENCE, Clip
from dataset.storage.atomic import write_text
from utils.clips.overlay_video import draw, save_overlay
from utils.evaluation.evaluate import heat_maps
from utils.evaluation.thresholds import RULES
from utils.results.provenance import PROTOCOL

STEPS = 5  # times a second that the model looks and listens
BAR = "{desc}: {percentage:3.0f} %|{bar}| [{elapsed}, left: {remaining}]"
RULE = {
    "sound": "the 3 s around each time; at the ends what there is of them, repeated to 3 s",
    "upsampling": PROTOCOL["upsampling"],
    "normalisation": PROTOCOL["normalisation"],
    "predicted": RULES["fixed0.5"],
}


@dataclass
class Step:
    """time: seconds; silent: no sample of its sound above SILENCE; cosines: (h, w) float32, as the model gave them;
    heat: (224, 224) in [0, 1], as the evaluation stretches them."""

    time: float
    silent: bool
    cosines: np.ndarray

    @property
    def heat(self):
        return heat_maps(torch.from_numpy(self.cosines)[None], [f"the step at {self.time:.1f} s"])[0]


def find_clips(files):
    """The Clips of a command line: videos, and images each with its sound file behind it.

    Raises ValueError for a file that is neither, an image without its sound, and two clips of one name.
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
            raise ValueError(
                f"--clip: {path} is neither a video ({', '.join(video.FORMATS)}) nor an image with a sound"
            )
    names = [clip.id for clip in clips]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ValueError(f"--clip: two clips are named {twice}: rename one, or give each a --ckpt of its own")
    return clips


def localise_clips(model, clips, folder, weights, size=224, batch_size=64):
    """Writes into a folder, for each of the Clips: <name>.mp4 with the original sound, <name>.png, <name>.json.

    model: on its device; weights: what describes it, for the JSON. A clip that fails is named with its reason and does
    not stop the others. Returns how many failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lengths, failed = [_length(clip) for clip in clips], 0
    with tqdm(total=2 * sum(lengths), bar_format=BAR) as bar:  # in seconds: each clip is looked at, then drawn
        for i, clip in enumerate(clips):
            bar.set_description(clip.id[:24])
            try:
                steps = localise_clip(model, clip, folder / clip.id, weights, size, batch_size, bar)
                bar.write(f"{clip.id}: {steps} steps, {folder / clip.id}.mp4, .png, .json")
            except (FileNotFoundError, FileExistsError, ValueError) as error:
                failed += 1
                bar.write(f"{clip.id}: left out: {error}")
            bar.update(2 * sum(lengths[: i + 1]) - bar.n)
    return failed


def localise_clip(model, clip, place, weights, size, batch_size, bar):
    """One Clip's files: place without suffix. Returns the number of steps."""
    sound = clip.video or clip.sound
    paths = {"clip": str((clip.video or clip.frames[0]).resolve()), "sound": str(sound.resolve())}
    settings = {**paths, "weights": weights, "imgSize": size}
    files = {kind: place.with_name(f"{place.name}.{kind}") for kind in ("json", "mp4", "png")}
    check_free(files, settings)
    steps = localise(model, clip, size, batch_size, bar)
    head = json.dumps({**settings, "rule": RULE, "steps_per_second": STEPS}, indent=1).removesuffix("\n}")
    lines = ",\n  ".join(json.dumps(describe(step)) for step in steps)  # a step a line
    write_text(files["json"], f'{head},\n "steps": [\n  {lines}\n ]\n}}\n')
    tiles = []
    save_overlay(files["mp4"], draw(_watched(frames_of(clip), bar), steps, 1 / STEPS, tiles), sound)
    write_png(files["png"], contact_sheet(tiles, len(tiles)))
    return len(steps)


def check_free(files, settings):
    """Raises FileExistsError where the files of a clip are there, but not of this clip by these weights."""
    made = files["json"]
    before = json.loads(made.read_text()) if made.is_file() else {}
    there = next((path for path in files.values() if path.exists()), None)
    if there and any(before.get(key) != value for key, value in settings.items()):
        raise FileExistsError(
            f"{there} is there already, but not of this clip by these weights: move it away, or choose another --ckpt"
        )


def frames_of(clip):
    """Yields (seconds, function that returns the picture (h, w, 3) uint8 RGB) of a Clip. An image lasts as long as its
    sound."""
    if clip.video:
        for time, frame in video.read_frames(clip.video):
            yield time, partial(video.to_picture, frame)
        return
    picture = read_image(clip.frames[0], upright=True)
    for k in range(max(math.ceil(_length(clip) * STEPS), 1)):
        yield k / STEPS, lambda: picture


@torch.no_grad()
def localise(model, clip, size, batch_size, bar):
    """The Steps of a Clip: the first frame in each of STEPS parts of a second, with the sound around it. What is longer
    than its sound has no steps where there is none. Raises ValueError where there is too little of it everywhere."""
    model.eval()
    device = next(model.parameters()).device
    sound = SoundAround(clip.video or clip.sound)
    steps, waiting, last = [], [], None
    # One pair of arrays for all batches: new ones for each, with what is kept of it between them, split up the memory,
    # of which a long film then takes more and more.
    images, spects = (
        torch.empty(batch_size, 3, size, size),
        torch.empty(batch_size, SAMPLES // (PATCH * HOP), 1, PATCH, BANDS),
    )

    def look_and_listen():
        batch = (rows[: len(waiting)].to(device) for rows in (images, spects))
        maps = model.localize(*batch).float().cpu().numpy()
        steps.extend(Step(*known, cosines.copy()) for known, cosines in zip(waiting, maps, strict=True))
        waiting.clear()

    for time, picture in _watched(frames_of(clip), bar):
        part = math.floor(time * STEPS + 1e-6)
        if part == last:
            continue
        last, heard = part, sound.at(time)
        if len(heard) < SHORTEST * RATE:
            continue
        images[len(waiting)] = test_image(picture(), size)
        spects[len(waiting)] = torch.from_numpy(log_mel_patches(scale(fit_length(heard))))[:, None]
        waiting.append((time, bool(np.abs(heard).max() < SILENCE)))
        if len(waiting) == batch_size:
            look_and_listen()
    if waiting:
        look_and_listen()
    if not steps:
        raise ValueError(f"{clip.video or clip.sound} has less than {SHORTEST} s of sound: give a longer one")
    return steps


def describe(step):
    """A Step for JSON: places as x, y and boxes as x0, y0, x1, y1, all in 0..1 of the frame."""
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
        "boxes": [  # of the region's connected parts, the largest first
            [round(int(value) / side, 4) for value in (left, top, left + width, top + height)]
            for left, top, width, height, _ in parts
        ],
    }


def _length(clip):
    """Seconds of a Clip, for the bar and for images; 0 for what cannot be read: its own turn says why."""
    try:
        return (video.video_length(clip.video) if clip.video else SoundAround(clip.sound).length) or 0
    except (FileNotFoundError, ValueError):
        return 0


def _watched(frames, bar):
    """Passes frames on, and moves the bar with their times."""
    start = bar.n
    for time, picture in frames:
        bar.update(max(start + time - bar.n, 0))
        yield time, picture
