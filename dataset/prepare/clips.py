"""Clips among files: which belong together, and what each becomes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset.benchmarks.annotations import check_id
from dataset.benchmarks.ids import clip_name
from dataset.media import video
from dataset.media.audio import RATE, SOUND_FORMATS, NoAudioTrack, fit_length, read_sound
from dataset.media.image import read_image
from dataset.prepare.rows import make_row
from dataset.storage.parallel import LIMIT

IMAGE_FORMATS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
SHORTEST = 0.5  # seconds of sound; less is not worth repeating to 3 s
SILENCE = 1e-3  # largest sample of a sound that counts as silent: -60 dB of full scale

OK, NO_AUDIO, SILENT, TOO_SHORT = "ok", "no audio track", "silent", "too short"
NO_VIDEO, UNDECODABLE, DUPLICATE, EXCLUDED = "no video", "undecodable", "duplicate", "excluded"
STATES = (OK, NO_AUDIO, SILENT, TOO_SHORT, NO_VIDEO, UNDECODABLE, DUPLICATE, EXCLUDED)


@dataclass
class Clip:
    """id, and its files: a video, or frames in order (the middle one is taken) and a sound file.

    refused: None, or the state and reason for which it is not even read.
    """

    id: str
    video: Path | None = None
    frames: tuple = ()
    sound: Path | None = None
    refused: tuple | None = None


def find_clips(source):
    """The clips in a folder (searched through) or a list (a text file of paths, one a line, relative to its folder).

    Videos are clips by themselves. An image belongs to the sound file of its own name, or of its folder's name (a
    folder of frames). Returns the Clips, sorted by id, and the files of other kinds.
    Raises FileNotFoundError for a source that is missing, ValueError for one without clips.
    """
    source = Path(source)
    if source.is_dir():
        files = sorted(path for path in source.rglob("*") if path.is_file())
    elif source.is_file():
        lines = [line.strip() for line in source.read_text(encoding="utf-8-sig").splitlines()]
        files = [source.parent / line for line in lines if line]
    else:
        raise FileNotFoundError(f"{source} is missing: name a folder of clips, or a list of their paths")

    videos = [path for path in files if path.suffix.lower() in video.FORMATS]
    sounds = [path for path in files if path.suffix.lower() in SOUND_FORMATS]
    images = [path for path in files if path.suffix.lower() in IMAGE_FORMATS]
    clips = [Clip(path.stem, video=path) for path in videos]
    names, frames = {path.stem for path in sounds}, {}
    for path in images:
        owner = path.stem if path.stem in names or path.parent.name not in names else path.parent.name
        frames.setdefault(owner, []).append(path)
    clips += [Clip(path.stem, frames=tuple(frames.pop(path.stem, ())), sound=path) for path in sounds]
    clips += [Clip(owner, frames=tuple(paths)) for owner, paths in frames.items()]
    if not clips:
        raise ValueError(f"{source} holds no clips: expected {', '.join(video.FORMATS)}, or images with sound files")
    known = {*videos, *sounds, *images}
    return sorted(clips, key=lambda clip: clip.id), [path for path in files if path not in known]


def refuse_clips(clips, test_clips):
    """Marks duplicates, the clips that TestClips refuses, and those whose name cannot be an id."""
    first = {}
    for clip in clips:
        place, name = clip.video or clip.sound or clip.frames[0], clip_name(clip.id)
        try:
            check_id(clip.id, place)
        except ValueError as error:
            clip.refused = EXCLUDED, str(error)
            continue
        if name in first:
            clip.refused = DUPLICATE, f"the same clip as {first[name]}"
        elif reason := test_clips.refuse(name):
            clip.refused = EXCLUDED, reason
        first.setdefault(name, place)


def read_clip(clip, with_mask=True):
    """What a Clip becomes: (state, reason, row), row None unless the state is "ok"; never raises for a bad file."""
    if clip.refused:
        return *clip.refused, None
    try:
        if not clip.video and not clip.frames:
            raise video.NoVideoTrack(f"{clip.sound} has no image of its name beside it")
        if not clip.video and not clip.sound:
            raise NoAudioTrack(f"{clip.frames[0]} has no sound of its name beside it")
        waveform = read_sound(clip.video or clip.sound)
        if len(waveform) < SHORTEST * RATE:
            return TOO_SHORT, f"{len(waveform) / RATE:.2f} s of sound", None
        waveform = fit_length(waveform)
        if np.abs(waveform).max() < SILENCE:
            return SILENT, f"no sample in its middle above {SILENCE}", None
        frames = clip.frames
        frame = video.middle_frame(clip.video) if clip.video else read_image(frames[len(frames) // 2], upright=True)
        return OK, "", make_row(frame, waveform, with_mask)
    except NoAudioTrack as error:
        return NO_AUDIO, str(error), None
    except video.NoVideoTrack as error:
        return NO_VIDEO, str(error), None
    except Exception as error:  # whatever a decoder throws at a bad file, the others go on
        return UNDECODABLE, str(error) or repr(error), None


def crashed(clip):
    """What stands for a Clip that killed its process or held it up."""
    return UNDECODABLE, f"reading it kills the process, or takes over {LIMIT} s", None
