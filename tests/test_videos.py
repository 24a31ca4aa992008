"""dataset.prepare videos, vggss, check-ids, verify, sheet: small clips made here, good and bad ones."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from scipy.io import wavfile

from dataset.benchmarks.ids import clip_name, read_clip_names, video_of
from dataset.media.audio import fit_length, load_clip
from dataset.prepare import clips as clips_module
from dataset.prepare.clips import Clip, list_clips, refuse_clips
from dataset.prepare.leaks import TestClips
from dataset.prepare.verify import verify
from dataset.prepare.videos import prepare_videos
from dataset.storage import parallel
from dataset.storage.hdf5 import HDF5Array
from dataset.storage.parallel import map_in_order
from dataset.train_set import TrainSet, open_arrays

av = pytest.importorskip("av", reason="PyAV is not installed: videos cannot be read")
from dataset.media.video import middle_frame  # noqa: E402  after the skip

ROOT = Path(__file__).resolve().parent.parent
REAL = ROOT.parent / "shared" / "real"
LISTS = ROOT.parent / "shared" / "metadata"
FPS, RATE, SIZE = 10, 24000, (96, 64)  # of the clips made here; width, height
CODECS = {  # pictures and sound of each container
    "mp4": ("mpeg4", "aac"),
    "mov": ("mpeg4", "aac"),
    "mkv": ("mpeg4", "flac"),
    "avi": ("mpeg4", "mp3"),
    "webm": ("libvpx", "libopus"),
}


def grey_at(index, frames):
    """Brightness of a clip's frame: it tells which one was taken."""
    return 40 + 160 * index // frames


def write_clip(path, seconds=4.0, tone=440.0, pictures=True, sound=True, level=0.5):
    """A clip whose frames get brighter, with a tone."""
    picture_codec, sound_codec = CODECS[path.suffix[1:]]
    frames, samples = round(seconds * FPS), round(seconds * RATE)
    with av.open(str(path), "w") as container:
        if pictures:
            video = container.add_stream(picture_codec, rate=FPS)
            video.width, video.height, video.pix_fmt, video.gop_size = *SIZE, "yuv420p", 12
        if sound:
            audio = container.add_stream(sound_codec, rate=RATE, layout="mono")
        if pictures:
            for index in range(frames):
                picture = np.full((SIZE[1], SIZE[0], 3), grey_at(index, frames), np.uint8)
                picture[:, : SIZE[0] // 4] = 0
                container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(video.encode(None))
        if sound:
            wave = (level * np.sin(2 * np.pi * tone * np.arange(samples) / RATE)).astype(np.float32)
            fifo = av.AudioFrame.from_ndarray(wave[None], format="flt", layout="mono")
            fifo.sample_rate, fifo.pts = RATE, 0
            resampler = av.AudioResampler(
                format=audio.format, layout="mono", rate=RATE, frame_size=audio.frame_size or 1024
            )
            for part in [*resampler.resample(fifo), *resampler.resample(None)]:
                container.mux(audio.encode(part))
            container.mux(audio.encode(None))
    return path


def write_picture(path, grey):
    picture = np.full((50, 80, 3), grey, np.uint8)
    picture[:, :40] = 255
    cv2.imwrite(str(path), picture)


def command(*arguments, **options):
    line = [sys.executable, "-m", "dataset.prepare", *map(str, arguments)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False, **options)


def read_table(folder):
    with (folder / "prepared.csv").open(newline="") as file:
        return {line["id"]: line for line in csv.DictReader(file)}


@pytest.mark.parametrize("suffix", CODECS)
def test_the_middle_of_every_container(tmp_path, suffix):
    path = write_clip(tmp_path / f"a.{suffix}", seconds=4, tone=500)
    frame = middle_frame(path)
    assert frame.shape == (SIZE[1], SIZE[0], 3) and frame.dtype == np.uint8
    taken = frame[:, SIZE[0] // 2 :].mean()
    assert abs(taken - grey_at(20, 40)) <= 6  # a frame more or less is 4 levels
    assert frame[:, : SIZE[0] // 8].mean() < 20
    sound = load_clip(path)
    spectrum = np.abs(np.fft.rfft(sound))
    assert sound.shape == (48000,) and abs(spectrum.argmax() / 3 - 500) < 2


def test_long_sound_is_cut_and_short_sound_repeated(tmp_path):
    ramp = np.linspace(-1, 1, 16000 * 5, dtype=np.float32)
    wavfile.write(tmp_path / "long.wav", 16000, ramp)
    np.testing.assert_array_equal(load_clip(tmp_path / "long.wav"), ramp[16000:64000])
    np.testing.assert_array_equal(fit_length(ramp[:16000]), np.tile(ramp[:16000], 4)[8000:56000])


@pytest.fixture
def mixed(tmp_path):
    """A folder of clips, one of each fate; returns it and the state that each id must get."""
    folder = tmp_path / "clips"
    (folder / "deep").mkdir(parents=True)
    for name in ("good_1", "good_2", "good_3"):
        write_clip(folder / f"{name}.mp4", tone=200 + 100 * int(name[-1]))
    shutil.copy(folder / "good_1.mp4", folder / "deep" / "good_1.mp4")
    shutil.copy(folder / "good_1.mp4", folder / "abcdefghijk_000030.mp4")
    shutil.copy(folder / "good_1.mp4", folder / "ABCDEFGHIJK_000099.mp4")
    write_clip(folder / "mute.mkv", sound=False)
    write_clip(folder / "quiet.mkv", level=0)
    write_clip(folder / "brief.mkv", seconds=0.3)
    write_clip(folder / "blind.mkv", pictures=False)
    whole = write_clip(folder / "cut.mkv", seconds=6).read_bytes()
    (folder / "cut.mkv").write_bytes(whole[: len(whole) // 4])
    (folder / "half.mp4").write_bytes((folder / "good_2.mp4").read_bytes()[:6000])
    (folder / "empty.webm").write_bytes(b"")
    (folder / "text.avi").write_text("no video at all\n" * 50)
    write_picture(folder / "pair.png", 90)
    wavfile.write(folder / "pair.wav", 16000, (np.sin(np.arange(16000) / 5) * 9000).astype(np.int16))
    for index in range(5):
        (folder / "burst").mkdir(exist_ok=True)
        write_picture(folder / "burst" / f"{index:03}.png", 50 * index)
    shutil.copy(folder / "pair.wav", folder / "burst.wav")
    write_picture(folder / "alone.png", 90)
    shutil.copy(folder / "pair.wav", folder / "unseen.wav")
    (folder / "notes.txt").write_text("not a clip")
    (tmp_path / "some_test.csv").write_text("abcdefghijk_30000_40000\nABCDEFGHIJK_000010\n")
    states = dict.fromkeys(("good_1", "good_2", "good_3", "pair", "burst"), "ok")
    states |= dict.fromkeys(("abcdefghijk_000030", "ABCDEFGHIJK_000099"), "excluded")
    states |= {"mute": "no audio track", "quiet": "silent", "brief": "too short", "blind": "no video"}
    states |= dict.fromkeys(("cut", "half", "empty", "text"), "undecodable")
    states |= {"alone": "no audio track", "unseen": "no video"}
    return folder, states


def test_every_clip_ends_in_the_table(mixed, tmp_path):
    folder, states = mixed
    out = tmp_path / "Data sets"
    arguments = ("videos", "--input", folder, "--out", out, "--trainset", "vggsound10k", "--workers", 2)
    done = command(*arguments, "--exclude", tmp_path / "some_test.csv")
    assert done.returncode == 0, done.stderr
    assert "2 test clips excluded" in done.stdout and "1 files of other formats" in done.stdout
    assert "clips/s" in done.stderr

    set_folder = out / "VGG-Sound" / "10k_unlabeled"
    with (set_folder / "prepared.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert sum(line["state"] == "duplicate" for line in lines) == 1
    assert {line["id"]: line["state"] for line in lines if line["state"] != "duplicate"} == states
    assert all(line["reason"] for line in lines if line["state"] != "ok")
    ok = [line for line in lines if line["state"] == "ok"]
    assert [(line["shard"], int(line["row"])) for line in ok] == [("10k", row) for row in range(5)]

    arrays = open_arrays(set_folder)
    data = TrainSet(arrays, size=64)
    assert len(data) == 5 and isinstance(arrays.regions, HDF5Array) and len(data[0]["views"]) == 2
    rows = {line["id"]: int(line["row"]) for line in ok}
    assert (arrays.frames[rows["burst"]][:, 200:] == 100).all()  # the third of five
    with h5py.File(set_folder / "h5py_train_audios_10k.h5") as file:
        expected = load_clip(folder / "good_2.mp4")
        np.testing.assert_array_equal(file["train_audios"][rows["good_2"]], expected)
    found, problems = verify(out)
    assert len(found) == 4 and not problems

    before = {path.name: path.read_bytes() for path in set_folder.iterdir()}
    again = command(*arguments, "--exclude", tmp_path / "some_test.csv")
    assert again.returncode == 0 and {path.name: path.read_bytes() for path in set_folder.iterdir()} == before
    other = command(*arguments, "--exclude")
    assert other.returncode == 1 and "other clips_sha256" in other.stderr and len(other.stderr.splitlines()) == 1

    sheet = command("sheet", out, "--trainset", "vggsound10k", "--out", tmp_path / "sheet.png")
    assert sheet.returncode == 0 and cv2.imread(str(tmp_path / "sheet.png")).shape[1] > 4 * 192


def test_a_list_of_paths(mixed, tmp_path):
    folder, _ = mixed
    (folder / "list.txt").write_text("good_1.mp4\n\ndeep/good_1.mp4\nnowhere.mp4\n")
    clips, others = list_clips(folder / "list.txt")
    refuse_clips(clips, TestClips([]))
    assert [clip.id for clip in clips] == ["good_1", "good_1", "nowhere"] and not others
    states = prepare_videos(clips, tmp_path / "set", "custom")
    assert states == {"ok": 1, "duplicate": 1, "undecodable": 1}
    with pytest.raises(FileNotFoundError, match="nowhere is missing"):
        list_clips(folder / "nowhere")
    with pytest.raises(ValueError, match="holds no clips"):
        list_clips(folder.parent / "some_test.csv")


@pytest.mark.parametrize("frame_format", ["uint8", "jpeg", "float32"])
def test_formats_read_alike(tmp_path, frame_format):
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        picture = cv2.resize(rng.integers(0, 255, (8, 8, 3), np.uint8), (256, 256), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
        wavfile.write(tmp_path / f"{name}.wav", 16000, rng.normal(0, 0.1, 48000).astype(np.float32))
    clips, _ = list_clips(tmp_path)
    folder = tmp_path / frame_format
    spect_format = "float16" if frame_format == "jpeg" else "float32"
    prepare_videos(clips, folder, "10k", frame_format=frame_format, spect_format=spect_format)
    with h5py.File(folder / "h5py_train_spects_10k.h5") as file:
        assert file["train_spects"].dtype == spect_format
    data = TrainSet(open_arrays(folder), size=64)
    for index, clip in enumerate(clips):
        exact = cv2.cvtColor(cv2.imread(str(clip.frames[0])), cv2.COLOR_BGR2RGB)
        frame = data.arrays.frames[index]
        assert frame.shape == (256, 256, 3)
        assert np.abs(frame.astype(int) - exact).mean() < (2 if frame_format == "jpeg" else 1e-6)
    sample = data[2]
    assert sample["views"][0].dtype.itemsize == 1 and sample["audio"].dtype.itemsize == 4


def test_a_broken_jpeg_is_named(tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        rows = file.create_dataset("train_frames", (1,), h5py.vlen_dtype(np.uint8))
        rows[0] = np.arange(50, dtype=np.uint8)
    with pytest.raises(ValueError, match="row 0 is no JPEG"):
        HDF5Array([tmp_path / "f.h5"], "train_frames", (256, 256, 3))[0]


@pytest.mark.slow  # over a minute
def test_killed_at_any_moment_and_resumed(tmp_path):
    """Ten kill -9 at random moments: what comes out in the end is byte-equal to an undisturbed run."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for index in range(24):
        write_clip(folder / f"clip_{index:02}.mkv", seconds=3, tone=200 + 30 * index)
    (folder / "clip_07.mkv").write_bytes(b"broken")
    arguments = ["videos", "--input", folder, "--trainset", "flickr144k", "--rows_per_shard", 5, "--workers", 0]
    started = time.monotonic()
    assert command(*arguments, "--out", tmp_path / "whole").returncode == 0
    length = time.monotonic() - started

    line = [sys.executable, "-m", "dataset.prepare", *map(str, arguments), "--out", str(tmp_path / "killed")]
    rng = random.Random(0)
    set_folder = tmp_path / "killed" / "SoundNet_Flickr" / "144k_unlabeled"
    for _ in range(10):
        process = subprocess.Popen(
            line, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(rng.uniform(0.3, 1.1) * length)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=60)
        for path in set_folder.glob("*.h5"):  # what has its name is whole
            with h5py.File(path) as file:
                assert len(next(iter(file.values()))) in (5, 3)
    done = command(*arguments, "--out", tmp_path / "killed")
    assert done.returncode == 0, done.stderr
    expected = {path.name: path.read_bytes() for path in (tmp_path / "whole").rglob("*") if path.is_file()}
    found = {path.name: path.read_bytes() for path in (tmp_path / "killed").rglob("*") if path.is_file()}
    assert len(expected) == 5 * 4 + 2 and found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
    assert read_table(set_folder)["clip_07"]["state"] == "undecodable"


def die_on_three(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def hang_on_three(number):
    if number == 3:
        time.sleep(60)
    return number


def test_an_item_that_kills_its_process():
    results = map_in_order(die_on_three, range(8), workers=2, crashed=lambda number: f"{number} crashed")
    assert list(results) == [0, 1, 2, "3 crashed", 4, 5, 6, 7]


def test_an_item_that_hangs(monkeypatch):
    monkeypatch.setattr(parallel, "LIMIT", 2)
    results = map_in_order(hang_on_three, range(5), workers=1, crashed=lambda number: f"{number} hung")
    assert list(results) == [0, 1, 2, "3 hung", 4]


def test_folders_of_others_are_left_alone(tmp_path):
    (tmp_path / "h5py_train_frames_10k.h5").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="holds other files"):
        prepare_videos([Clip("a")], tmp_path, "10k")
    assert (tmp_path / "h5py_train_frames_10k.h5").read_bytes() == b"mine"


def test_clip_names():
    assert clip_name("gklbB7TYoK4_30000_40000") == "gklbB7TYoK4_000030"
    assert clip_name(" -0BIyqJj9ZU_000030.mp4") == "-0BIyqJj9ZU_000030"
    assert clip_name("10000130166.jpg") == "10000130166" and clip_name("vas_dog_video_02677") == "vas_dog_video_02677"
    assert video_of("-0BIyqJj9ZU_000030") == "-0BIyqJj9ZU" and video_of("10000130166") is None


def test_check_ids(tmp_path):
    (tmp_path / "a_test.csv").write_text("video,audio,label\nabcdefghijk_000030,x,y\nabcdefghijk_000050,x,y\n77,x,y\n")
    (tmp_path / "b_test.json").write_text(json.dumps([{"file": "ABCDEFGHIJK_000001"}]))
    (tmp_path / "leaky.txt").write_text("77.jpg\nabcdefghijk_30000_40000\nfine\n")
    (tmp_path / "clean.txt").write_text("ABCDEFGHIJK_000009\n78\n")
    lists = [tmp_path / "a_test.csv", tmp_path / "b_test.json"]
    leaky = command("check-ids", tmp_path / "leaky.txt", "--against", *lists)
    assert leaky.returncode == 1 and "2 test clips in all" in leaky.stdout
    assert "a_test.csv: 2 of its 4 clips, and other parts of the videos of 1 more" in leaky.stdout
    clean = command("check-ids", tmp_path / "clean.txt", "--against", *lists)
    assert clean.returncode == 0 and "0 test clips in all" in clean.stdout
    assert "b_test.json: 0 of its 1 clips, and other parts of the videos of 1 more" in clean.stdout
    missing = command("check-ids", tmp_path / "nowhere.txt", "--against", *lists)
    assert missing.returncode == 1 and "nowhere.txt is missing" in missing.stderr


@pytest.mark.skipif(not LISTS.is_dir(), reason="the published lists are not at hand (../shared/metadata)")
def test_the_leaks_of_published_lists():
    tests = TestClips(sorted(LISTS.glob("*test*")))
    tested = set().union(*tests.lists.values())
    overlap = {
        name: sum(one in tested for one in set(read_clip_names(LISTS / name)))
        for name in ("leaky/vggsound_10k_ezvsl.txt", "leaky/flickr_144k_ezvsl.txt", "vggsound_train_10k.txt")
    }
    assert list(overlap.values()) == [238, 20, 0]


def test_vggss(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    ids = ["abcdefghijk_000030", "lmnopqrstuv_000001", "ABCDEFGHIJK_000002", "LMNOPQRSTUV_000003"]
    extra = "MNOPQRSTUVW_000009"  # in a pair only, and without boxes
    for item_id in (ids[2], extra):
        write_clip(folder / f"{item_id}.mp4", tone=300)
    write_clip(folder / "abcdefghijk_30000_40000.mp4", tone=600)
    (folder / f"{ids[1]}.mp4").write_bytes(b"")
    (tmp_path / "ids.csv").write_text("\n".join(ids))
    boxes = [{"file": item_id, "class": "x", "bbox": [[0, 0, 0.5, 0.5]]} for item_id in ids]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    pairs = f"video,audio,label\n{ids[0]},{ids[2]},non-sounding\n{extra},{extra},non-sounding"
    (tmp_path / "pairs.csv").write_text(pairs)
    lists = tmp_path / "ids.csv", tmp_path / "pairs.csv"
    arguments = ("--ids", *lists, "--boxes", tmp_path / "boxes.json", "--out", tmp_path, "--workers", 0)
    done = command("vggss", "--videos", folder, *arguments)
    assert done.returncode == 0, done.stderr
    assert "3 ok" in done.stdout and "1 missing" in done.stdout and "The set is not complete" in done.stdout
    assert (tmp_path / "VGG-Sound" / "vggss_test_4692.csv").read_text().split() == [ids[0], ids[2], extra]
    data = tmp_path / "VGG-Sound" / "5k_labeled" / "Data"
    assert {key: line["state"] for key, line in read_table(data).items()} == dict(
        zip([*ids, extra], ("ok", "undecodable", "ok", "missing", "ok"), strict=True)
    )
    with h5py.File(data / "h5py_test_audios.h5") as file:
        np.testing.assert_array_equal(file["test_audios"][1], load_clip(folder / f"{ids[2]}.mp4"))
    assert verify(tmp_path)[1] == []
    again = command("vggss", "--videos", folder, *arguments)
    assert again.returncode == 1 and "already there" in again.stderr
    with h5py.File(data / "h5py_test_audios.h5", "r+") as file:
        file["test_audios"][0] = np.nan
    (tmp_path / "VGG-Sound" / "vggss_test_4692.csv").write_text(ids[0])
    failed = command("verify", tmp_path)
    assert failed.returncode == 1 and "1 rows hold numbers that are not finite (rows 0)" in failed.stdout
    assert "has 3 rows but" in failed.stdout and "names 1 ids" in failed.stdout


def test_flickr_test(tmp_path, datasets):
    done = command("flickr-test", datasets / "Demo")
    assert done.returncode == 0 and "6 ids, 6 of them with frame, sound and box" in done.stdout
    shutil.copytree(datasets / "Demo", tmp_path / "Demo")
    data = tmp_path / "Demo" / "SoundNet_Flickr" / "5k_labeled"
    next((data / "Data" / "audio").glob("*.wav")).unlink()
    failed = command("flickr-test", tmp_path / "Demo")
    assert failed.returncode == 1 and "5 of them" in failed.stdout and ".wav is missing" in failed.stdout


@pytest.mark.skipif(not REAL.is_dir(), reason="the real clips are not at hand (../shared/real)")
def test_real_clips_agree_with_their_given_frames_and_sounds():
    for path in sorted((REAL / "vggss6" / "videos").iterdir()):
        picture = cv2.cvtColor(cv2.imread(str(REAL / "vggss6" / "frames" / f"{path.stem}.jpg")), cv2.COLOR_BGR2RGB)
        frame = middle_frame(path)
        assert frame.shape == picture.shape and np.abs(frame.astype(int) - picture).mean() < 3
        ours, given = (load_clip(one) for one in (path, REAL / "vggss6" / "audio" / f"{path.stem}.wav"))
        spectra = np.fft.rfft(ours, 1 << 17) * np.conj(np.fft.rfft(given, 1 << 17))
        shift = (np.fft.irfft(spectra).argmax() + 48000) % (1 << 17) - 48000  # samples
        assert abs(shift) < 32  # 2 ms
        assert np.corrcoef(np.roll(given, shift)[100:-100], ours[100:-100])[0, 1] > 0.99


def test_states_are_documented():
    assert len(set(clips_module.STATES)) == 9
