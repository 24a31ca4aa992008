"""Raw files -> clips (which files belong together) -> rows."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset.benchmarks.annotations import check_id
from dataset.benchmarks.ids import clip_name
from dataset.media import video
from dataset.media.audio import RATE, SOUND_FORMATS, NoAudioTrack, SoundAround, fit_length, read_sound
from dataset.media.files import files_below
from dataset.media.image import read_image
from dataset.prepare.leaks import TestClips
from dataset.prepare.rows import make_row
from dataset.storage.parallel import LIMIT

IMAGE_FORMATS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
SHORTEST = 0.5  # seconds of sound; less is not worth repeating to 3 s
SILENCE = 1e-3  # largest sample of a sound that counts as silent: -60 dB of full scale

OK, NO_AUDIO, SILENT, TOO_SHORT, NO_VIDEO = "ok", "no audio track", "silent", "too short", "no video"
UNDECODABLE, DUPLICATE, EXCLUDED, UNNAMED = "undecodable", "duplicate", "excluded", "unusable name"
STATES = (OK, NO_AUDIO, SILENT, TOO_SHORT, NO_VIDEO, UNDECODABLE, DUPLICATE, EXCLUDED, UNNAMED)


@dataclass
class Clip:
    """id, and its files: a video, or frames in order (the middle one is used) and a sound file.

    refused: the state and reason for which it is not read, or None.
    """

    id: str
    video: Path | None = None
    frames: tuple[Path, ...] = ()
    sound: Path | None = None
    refused: tuple[str, str] | None = None

    @property
    def place(self) -> Path:
        """The file that stands for it in messages."""
        return self.video or self.sound or self.frames[0]


def list_clips(source: str | Path) -> tuple[list[Clip], list[Path]]:
    """The clips in a folder and its subfolders, or in a list (a text file of paths, one a line, relative to it).

    A video is a clip. An image belongs to the sound file with its own name, or with its folder's name (a folder of
    frames); where there are several, to the one in its folder.

    Returns: the clips, sorted by id, and the files of other formats.
    Raises: FileNotFoundError for a missing source, ValueError for one without clips.
    """
    source = Path(source)
    if source.is_dir():
        files = list(files_below(source))
    elif source.is_file():
        lines = [line.strip() for line in source.read_text(encoding="utf-8-sig").splitlines()]
        files = [source.parent / line for line in lines if line]
    else:
        raise FileNotFoundError(f"{source} is missing: name a folder of clips, or a list of their paths")

    videos, sounds, images = (
        [path for path in files if path.suffix.lower() in formats]
        for formats in (video.FORMATS, SOUND_FORMATS, IMAGE_FORMATS)
    )
    clips = [Clip(path.stem, video=path) for path in videos] + _with_sounds(images, sounds)
    if not clips:
        raise ValueError(f"{source} holds no clips: expected {', '.join(video.FORMATS)}, or images with sound files")
    known = {*videos, *sounds, *images}
    return sorted(clips, key=lambda clip: clip.id), [path for path in files if path not in known]


def _with_sounds(images, sounds):
    """Clips of images and their sounds, see list_clips. What cannot be assigned to one sound is refused."""
    named, frames = {}, {path: [] for path in sounds}
    for path in sounds:
        named.setdefault(path.stem, []).append(path)
    clips = []
    for path in images:
        name, home = path.stem, path.parent
        if name not in named and home.name in named:
            name, home = home.name, home.parent
        found = named.get(name, [])
        owners = [sound for sound in found if sound.parent == home] or found
        if not owners:
            clips.append(Clip(path.stem, frames=(path,)))
        elif len(owners) > 1 and owners[0].parent != home:
            reason = f"{path} may belong to {owners[0]} or {owners[1]}: put it beside its sound"
            clips.append(Clip(path.stem, frames=(path,), refused=(UNNAMED, reason)))
        else:
            frames[owners[0]].append(path)
    for sound, paths in frames.items():
        strangers = [path for path in paths if path.parent != paths[0].parent]
        reason = f"{paths[0]} and {strangers[0]} have the name of {sound}: rename one" if strangers else None
        clips.append(Clip(sound.stem, frames=tuple(paths), sound=sound, refused=reason and (UNNAMED, reason)))
    return clips


def refuse_clips(clips: Sequence[Clip], test_clips: TestClips) -> None:
    """Marks clips that share a name with another, that TestClips refuses, or whose name cannot be an id."""
    first = {}
    for clip in clips:
        if clip.refused:
            continue
        name = clip_name(clip.id)
        try:
            check_id(clip.id, clip.place)
        except ValueError as error:
            clip.refused = UNNAMED, str(error)
            continue
        if name in first:
            clip.refused = DUPLICATE, f"{clip.place} has the name of {first[name]}: rename it if it is another clip"
        elif reason := test_clips.refuse(name):
            clip.refused = EXCLUDED, reason
        first.setdefault(name, clip.place)


def read_clip(clip: Clip, with_mask: bool = True) -> tuple[str, str, dict | None]:
    """(state, reason, row) of a Clip; row is None unless the state is "ok". Never raises for a bad file."""
    if clip.refused:
        return *clip.refused, None
    try:
        if not clip.video and not clip.frames:
            raise video.NoVideoTrack(f"{clip.sound} has no image of its name beside it")
        if not clip.video and not clip.sound:
            raise NoAudioTrack(f"{clip.frames[0]} has no sound of its name beside it")
        frame, time = video.middle(clip.video) if clip.video else (None, None)
        waveform = read_sound(clip.video or clip.sound) if time is None else SoundAround(clip.video).at(time)
        if len(waveform) < SHORTEST * RATE:
            return TOO_SHORT, f"{len(waveform) / RATE:.2f} s of sound", None
        waveform = fit_length(waveform)
        if np.abs(waveform).max() < SILENCE:
            return SILENT, f"no sample in its middle above {SILENCE}", None
        if frame is None:
            frame = read_image(clip.frames[len(clip.frames) // 2], upright=True)
        return OK, "", make_row(frame, waveform, with_mask)
    except NoAudioTrack as error:
        return NO_AUDIO, str(error), None
    except video.NoVideoTrack as error:
        return NO_VIDEO, str(error), None
    except Exception as error:  # whatever a decoder raises for a bad file, the others are processed
        return UNDECODABLE, str(error) or repr(error), None


def table(lines: Sequence[tuple]) -> str:
    """Lines of prepared.csv."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def crashed(clip: Clip) -> tuple[str, str, None]:
    """What read_clip would return for a Clip that killed its process or took too long."""
    return UNDECODABLE, f"reading it kills the process, or takes over {LIMIT} s", None
