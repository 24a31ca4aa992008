"""Sound and video files at the edge of what their formats allow."""

import struct

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
