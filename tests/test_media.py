"""Sound and video files at the edge of what their formats allow."""

import struct
from fractions import Fraction

import numpy as np
import pytest
from scipy.io import wavfile

from dataset.media.audio import read_sound

av = pytest.importorskip("av", reason="PyAV is not installed: only WAV is read")
from test_videos import write_clip  # noqa: E402  after the skip

from dataset.media.video import middle_frame  # noqa: E402
from dataset.prepare.clips import Clip, list_clips, read_clip, refuse_clips  # noqa: E402
from dataset.prepare.leaks import TestClips  # noqa: E402


@pytest.mark.parametrize(
    "place, content",
    [(22, b"\0\0"), (16, b"\xff" * 4), (40, struct.pack("<I", 0)), (36, b"LIST\7\0\0\0")],
    ids=["no channels", "long header", "no samples", "odd chunk"],
)
def test_broken_wav_headers_are_named(tmp_path, place, content):
    wavfile.write(tmp_path / "a.wav", 16000, np.arange(8000, dtype=np.int16))
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[place : place + len(content)] = content
    (tmp_path / "a.wav").write_bytes(data)
    try:
        assert len(read_sound(tmp_path / "a.wav")) == 0
    except ValueError as error:
        assert "a.wav cannot be read as sound" in str(error)


def test_a_sound_without_a_decoder_is_named(tmp_path):
    data = write_clip(tmp_path / "a.mkv").read_bytes()
    (tmp_path / "a.mkv").write_bytes(data.replace(b"A_FLAC", b"A_XYZQ"))
    state, reason, row = read_clip(Clip("a", video=tmp_path / "a.mkv"))
    assert (state, row) == ("undecodable", None)
    assert "a.mkv cannot be read as sound" in reason and "no decoder" in reason


def test_a_colon_in_a_name(tmp_path, monkeypatch):
    """FFmpeg would take what is before it for a protocol; as an id it is refused, but not as a test clip."""
    write_clip(tmp_path / "12:30.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(read_sound("12:30.mp4")) > 60000 and middle_frame("12:30.mp4").ndim == 3
    clips, _ = list_clips(tmp_path)
    refuse_clips(clips, TestClips([]))
    state, reason, _ = read_clip(clips[0])
    assert state == "unusable name" and "12:30" in reason


def test_an_mp3_whose_length_is_estimated_is_read_whole(tmp_path):
    """Silence first, then noise, of varying bit rate and without a header that says the length."""
    sound = (0.3 * np.random.default_rng(0).standard_normal((2, 6 * 44100))).astype(np.float32)
    sound[:, :44100] = 0
    with av.open(str(tmp_path / "a.mp3"), "w", options={"write_xing": "0"}) as out:
        options = {"flags": "+qscale", "global_quality": "236"}
        stream = out.add_stream("libmp3lame", rate=44100, layout="stereo", options=options)
        for first in range(0, sound.shape[1], 1024):
            part = np.ascontiguousarray(sound[:, first : first + 1024])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
            frame.sample_rate = 44100
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with av.open(str(tmp_path / "a.mp3")) as file:
        assert file.duration > 12e6  # FFmpeg's estimate: it must not count
    assert abs(len(read_sound(tmp_path / "a.mp3")) - 6 * 16000) < 3000


def write_spans(path, times, sound):
    """A white bar as long as its time (a tenth of the width a second), and a pitch of 300 + 200 Hz * second.

    times: of the pictures; sound: from, to, in seconds."""
    rate = 48000
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        audio = out.add_stream("aac", rate=rate, layout="mono")
        packets = []
        for time in times:
            picture = np.full((64, 96, 3), 40, np.uint8)
            picture[28:36, : max(2, int(9.6 * time))] = 255
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(1000 * time), Fraction(1, 1000)
            packets += video.encode(frame)
        packets += video.encode(None)
        seconds = np.arange(round(sound[0] * rate), round(sound[1] * rate)) / rate
        tone = (0.5 * np.sin(2 * np.pi * np.cumsum(300 + 200 * np.floor(seconds)) / rate)).astype(np.float32)
        for first in range(0, len(tone), 1024):
            frame = av.AudioFrame.from_ndarray(tone[None, first : first + 1024].copy(), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate, round(sound[0] * rate) + first
            frame.time_base = Fraction(1, rate)
            packets += audio.encode(frame)
        packets += audio.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            out.mux(packet)


TENTHS = [tenth / 10 for tenth in range(100)]


@pytest.mark.parametrize(
    "name, times, sound, shown, heard",
    [
        ("late_sound.mp4", TENTHS, (4, 10), 7, 7),
        ("long_sound.mp4", TENTHS, (0, 20), 5, 5),
        ("short_sound.mp4", TENTHS, (0, 4), 2, 2),
        ("late_pictures.mkv", TENTHS[40:], (0, 10), 7, 7),
        ("long_sound.mkv", TENTHS, (0, 25), 5, 5),
        ("starts_late.mkv", [2 + time for time in TENTHS[:60]], (2, 8), 5, 5),
        ("one_picture.mkv", [0], (0, 10), 0, 5),
        ("slides.mkv", [0, 4], (0, 12), 4, 6),
    ],
)
def test_picture_and_sound_are_of_one_time(tmp_path, name, times, sound, shown, heard):
    """shown: the time of the picture, from its bar; heard: that of the middle of the sound, from its pitches; s."""
    write_spans(tmp_path / name, times, sound)
    state, reason, row = read_clip(Clip("a", video=tmp_path / name), with_mask=False)
    assert state == "ok", reason
    bar = (row["frames"][128, :, 0] > 150).sum() / 25.6
    assert abs(bar - shown) < 0.4
    spectra = [np.abs(np.fft.rfft(part)).argmax() * 2 for part in row["audios"].reshape(6, 8000)]
    seconds = [(hertz - 300) / 200 for hertz in spectra]
    np.testing.assert_allclose(seconds, np.floor(np.arange(6) / 2 + heard - 1.45), atol=0.1)


def test_a_truncated_video_is_not_taken_for_a_still(tmp_path):
    write_spans(tmp_path / "whole.mkv", TENTHS, (0, 10))
    data = (tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 3])
    state, reason, _ = read_clip(Clip("a", video=tmp_path / "cut.mkv"))
    assert state == "undecodable" and "cut.mkv ends before its middle" in reason
