"""Localisation over time in one's own clips: small ones made here, and a model that points at what is bright."""

import json
import struct

import cv2
import numpy as np
import pytest
import torch
from scipy.io import wavfile
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d

av = pytest.importorskip("av", reason="PyAV is not installed: videos cannot be read")
from test_videos import FPS, SIZE, write_clip  # noqa: E402  after the skip

from dataset.frontends import FRONT_ENDS  # noqa: E402
from dataset.media.audio import NoAudioTrack, SoundAround, read_sound  # noqa: E402
from utils.clips.localise import Step, describe, find_clips, localise_clips  # noqa: E402
from utils.clips.overlay_video import fit  # noqa: E402
from utils.evaluation.overlays import overlay  # noqa: E402


class Eyes(nn.Module):
    """Cosines that are the brightness of the image, whatever the sound."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def localize(self, image, audio):
        assert audio.shape[1:] == (3, 1, 96, 64)
        return adaptive_avg_pool2d(image.mean(dim=1), 14)


def streams(path):
    """Times of a file's frames, the first picture, and the bytes of its sound."""
    with av.open(str(path)) as container:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        sound = b"".join(bytes(part) for part in container.demux(audio=0) if part.dts is not None)
    return [time for time, _ in frames], frames[0][1], sound


def run(folder, *files, weights="w", **options):
    return localise_clips(Eyes(), find_clips(files), folder, weights, FRONT_ENDS["log_mel"], size=64, **options)


def test_the_sound_around_each_time_is_that_of_the_whole_file(tmp_path):
    seconds = np.arange(5 * 22050) / 22050
    sweep = 0.5 * np.sin(2 * np.pi * (50 + 40 * seconds) * seconds)  # no two places sound alike
    wavfile.write(tmp_path / "a.wav", 22050, sweep.astype(np.float32))
    whole, around = read_sound(tmp_path / "a.wav"), SoundAround(tmp_path / "a.wav")
    assert around.length == pytest.approx(5)
    for time in (0, 0, 0.3, 1.5, 1.75, 2.4, 4.9, 6.0, 6.6, 7.0):
        excerpt = around.at(time)
        start, end = (min(max(round((time + side) * 16000), 0), len(whole)) for side in (-1.5, 1.5))
        assert abs(len(excerpt) - (end - start)) <= 1
        inner = slice(50, min(len(excerpt), end - start) - 50)  # where no filter meets the excerpt's ends
        assert np.allclose(excerpt[inner], whole[start:end][inner], atol=0.05)  # half a sample of 22,050 a second
    with pytest.raises(FileNotFoundError, match="b.wav is missing"):
        SoundAround(tmp_path / "b.wav")
    with pytest.raises(NoAudioTrack, match="a.mp4 has no audio track"):
        SoundAround(write_clip(tmp_path / "a.mp4", sound=False))


@pytest.mark.parametrize("suffix", ["mp4", "webm", "mkv"])
def test_a_video_with_its_sound(tmp_path, suffix):
    path = write_clip(tmp_path / f"a.{suffix}", seconds=3.5)
    assert run(tmp_path / "out", path, batch_size=4) == 0
    described = json.loads((tmp_path / "out" / "a.json").read_text())
    steps = described["steps"]
    assert [step["time"] for step in steps] == pytest.approx([k / 5 for k in range(18)], abs=0.051)
    for step in steps:  # the left quarter is dark
        assert step["boxes"] == [[pytest.approx(0.25, abs=0.05), 0, 1, 1]]
        assert step["area"] == pytest.approx(0.75, abs=0.05) and not step["silent"]
        assert step["cosine"]["lowest"] < step["cosine"]["mean"] < step["cosine"]["highest"]
    assert described["rule"]["predicted"] == "value >= 0.5" and described["clip"] == str(path)

    times, picture, sound = streams(tmp_path / "out" / "a.mp4")
    old_times, _, old_sound = streams(path)
    assert times == pytest.approx(old_times, abs=1e-3) and picture.shape == (SIZE[1], SIZE[0], 3)
    assert picture[32, 80, 0] > picture[32, 80, 2] + 20 and np.ptp(picture[32, 5]) < 25  # red on the right only
    if suffix == "mp4":
        assert sound == old_sound  # bit by bit
    before, after = read_sound(path), read_sound(tmp_path / "out" / "a.mp4")
    assert len(before) == pytest.approx(len(after), abs=1600)
    count = min(len(before), len(after))
    assert np.corrcoef(before[2000 : count - 2000], after[2000 : count - 2000])[0, 1] > 0.98  # and not shifted
    assert cv2.imread(str(tmp_path / "out" / "a.png")).shape == (24 + 2 * 160, 8 * 240 + 7 * 6, 3)
    assert not list((tmp_path / "out").glob("*.partial"))


def test_an_image_with_its_sound_and_odd_sizes(tmp_path):
    picture = np.zeros((51, 81, 3), np.uint8)
    picture[:, 40:] = 255
    cv2.imwrite(str(tmp_path / "photo.png"), picture)
    loud = np.random.default_rng(0).normal(0, 0.1, 32000)
    loud[:16000] = 0
    wavfile.write(tmp_path / "sound.wav", 8000, loud.astype(np.float32))
    assert run(tmp_path / "out", tmp_path / "photo.png", tmp_path / "sound.wav") == 0
    steps = json.loads((tmp_path / "out" / "photo.json").read_text())["steps"]
    assert len(steps) == 20 and steps[-1]["time"] == 3.8
    assert [step["silent"] for step in steps] == [step["time"] + 1.5 <= 2 for step in steps]
    assert steps[0]["boxes"][0][0] == pytest.approx(0.5, abs=0.04)
    times, picture, _ = streams(tmp_path / "out" / "photo.mp4")
    assert times == pytest.approx([k / 5 for k in range(20)]) and picture.shape == (52, 80, 3)
    assert len(read_sound(tmp_path / "out" / "photo.mp4")) == pytest.approx(64000, abs=1600)


def test_one_bad_clip_does_not_stop_the_others(tmp_path, capsys):
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    mute = write_clip(tmp_path / "mute.mp4", sound=False)
    blind = write_clip(tmp_path / "blind.mp4", pictures=False)
    short = write_clip(tmp_path / "short.mp4", seconds=0.4)
    good = write_clip(tmp_path / "good.mp4", seconds=1)
    assert run(tmp_path / "out", mute, tmp_path / "broken.mp4", blind, short, tmp_path / "none.mp4", good) == 5
    said = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert said["mute"] == f"left out: {mute} has no audio track"
    assert "broken.mp4 cannot be read as" in said["broken"] and "has no images" in said["blind"]
    assert "less than 0.5 s of sound" in said["short"] and "none.mp4 is missing" in said["none"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"good.json", "good.mp4", "good.png"}


def test_nothing_else_is_written_over(tmp_path, capsys):
    clip = write_clip(tmp_path / "a.mp4", seconds=1)
    assert run(tmp_path, clip) == 1  # beside itself
    assert "a.mp4 exists" in capsys.readouterr().out and len(list(tmp_path.iterdir())) == 1
    out = tmp_path / "out"
    assert run(out, clip) == 0 and run(out, clip) == 0  # the same again
    (out / "a.png").unlink()
    assert run(out, clip, weights="others") == 1
    assert not (out / "a.png").exists()


def test_which_files_are_clips():
    clips = find_clips(["a.mp4", "b.JPG", "b.flac", "c.webm"])
    assert [(clip.id, clip.video is None) for clip in clips] == [("a", False), ("b", True), ("c", False)]
    for files, message in (
        (["a.jpg"], "its sound file .* must follow"),
        (["a.jpg", "b.mp4"], "its sound file .* must follow"),
        (["a.wav"], "a.wav is neither a video"),
        (["x/a.mp4", "y/a.mp4"], "two clips are named a"),
    ):
        with pytest.raises(ValueError, match=message):
            find_clips(files)


def test_a_film_held_upright(tmp_path):
    """A phone stores its film lying, with a matrix (MP4's tkhd box) that turns it by 90 degrees clockwise."""
    path = write_clip(tmp_path / "a.mp4", seconds=1)
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, SIZE[1] << 16, 0, 1 << 30)
    path.write_bytes(data)
    assert run(tmp_path / "out", path) == 0
    steps = json.loads((tmp_path / "out" / "a.json").read_text())["steps"]
    assert steps[0]["boxes"] == [[0, pytest.approx(0.25, abs=0.05), 1, 1]]  # what was left is above
    assert streams(tmp_path / "out" / "a.mp4")[1].shape == (SIZE[0], SIZE[1], 3)


def test_a_film_longer_than_its_sound(tmp_path):
    path = write_clip(tmp_path / "a.mp4", seconds=4)
    with av.open(str(path)) as source, av.open(str(tmp_path / "b.mp4"), "w") as target:
        copies = {stream: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None and (packet.stream.type == "video" or packet.pts * packet.time_base < 1):
                packet.stream = copies[packet.stream]
                target.mux(packet)
    assert run(tmp_path / "out", tmp_path / "b.mp4") == 0
    steps = json.loads((tmp_path / "out" / "b.json").read_text())["steps"]
    assert steps[-1]["time"] == pytest.approx(2, abs=0.11)  # then there is less than half a second within reach
    with av.open(str(tmp_path / "out" / "b.mp4")) as container:
        red = [
            int(picture[32, 80, 0]) - int(picture[32, 80, 2])
            for picture in (frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))
        ]
    assert len(red) == 4 * FPS and min(red[:20]) > 20 and max(red[25:]) < 10


def test_pictures():
    heat = np.zeros((224, 224), np.float32)
    heat[:112, :112] = 1
    frame = np.full((100, 200, 3), 90, np.uint8)
    drawn = overlay(frame, heat)
    assert drawn.shape == frame.shape and (frame == 90).all()
    assert drawn[20, 40].max() > 150 and np.abs(drawn[80, 180].astype(int) - 90).max() < 15
    assert fit(np.zeros((1081, 1921, 3), np.uint8)).shape == (720, 1280, 3)
    assert fit(frame) is frame
    flat = describe(Step(0.0, True, np.full((14, 14), 0.25, np.float32)))
    assert flat["boxes"] == [] and flat["area"] == 0 and flat["cosine"]["mean"] == 0.25
