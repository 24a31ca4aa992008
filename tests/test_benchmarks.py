"""Files that a test set or a preparation could take for others: rows, names, scales, leaks."""

import csv
import json
import shutil

import cv2
import h5py
import numpy as np
import pytest
from scipy.io import wavfile
from test_test_sets import CLIPS, PUBLIC, args, listed, write_media, write_vggss

from dataset import benchmarks
from dataset.benchmarks import BENCHMARKS, build_index, build_test_set
from dataset.benchmarks.annotations import listed_boxes, read_ids, vggss_boxes
from dataset.benchmarks.ids import read_clip_names, video_of
from dataset.benchmarks.test_sets import ShuffledSounds
from dataset.frontends import FRONT_ENDS
from dataset.frontends.log_mel import log_mel_patches, scale
from dataset.media.audio import RATE, SAMPLES
from dataset.media.files import files_below
from dataset.prepare.clips import list_clips, refuse_clips
from dataset.prepare.leaks import TestClips, check_ids, find_test_lists
from dataset.prepare.pairs import prepare_pairs
from dataset.prepare.verify import verify
from dataset.prepare.videos import prepare_videos
from dataset.storage.sounds import StoredSounds


@pytest.mark.parametrize("name", BENCHMARKS["vggss"].row_lists)
def test_verify_reads_the_row_lists_of_the_test(tmp_path, metadata, name):
    write_vggss(tmp_path, CLIPS)
    folder = tmp_path / "VGG-Sound"
    (folder / "vggss_test_4692.csv").rename(folder / name)
    (metadata / "vggss_test_4692.csv").write_text("\n".join(CLIPS))
    [problem] = verify(tmp_path)[1]
    assert "are of one colour" in problem  # these frames are
    assert build_test_set("vggss", args(tmp_path)).row_list == folder / name
    (folder / name).write_text("\n".join(CLIPS[:3]))
    problem = verify(tmp_path)[1][-1]
    assert f"has 4 rows but {folder / name} names 3 ids" in problem
    with pytest.raises(ValueError, match="has 4 rows but .* names 3 ids"):
        build_test_set("vggss", args(tmp_path))


def test_two_files_of_one_name_are_both_named(tmp_path, metadata):
    names = ["cat_dog_7_cat", "cat_dog_7_dog"]
    listed(metadata, "is3", [(f"{name}.jpg", f"{name}.wav", [0, 0, 112, 112]) for name in names])
    frames, sounds = tmp_path / "IS3/visual_frames", tmp_path / "IS3/audio_wav"
    write_media(frames / "a", sounds, names)
    write_media(frames / "b", sounds, ["of_no_item"])
    shutil.copytree(frames / "b", frames / "c")
    assert build_test_set("is3", args(tmp_path)).find_missing() == {}  # names of no item do not matter
    shutil.copy(frames / "a" / f"{names[1]}.jpg", frames / "b")
    with pytest.raises(ValueError, match=f"a/{names[1]}.jpg and .*b/{names[1]}.jpg have the same name"):
        build_test_set("is3", args(tmp_path))


def test_suffixes_in_upper_case_and_linked_folders_are_found(tmp_path, metadata):
    names = ["vid_0.mp4_1", "vid_0.mp4_2"]
    listed(metadata, "avsbench_ms3", [(f"{name}.png", "vid_0.wav", [0, 0, 112, 112]) for name in names])
    root = tmp_path / "AVSBench/MS3"
    write_media(tmp_path / "elsewhere", root / "audio_wav", names, ["vid_0"], ".PNG")
    (root / "audio_wav/vid_0.wav").rename(root / "audio_wav/vid_0.WAV")
    for folder in ("visual_frames", "gt_masks"):
        (root / folder).mkdir()
        (root / folder / "link").symlink_to(tmp_path / "elsewhere")
    (root / "gt_masks").rename(root / "no_masks")
    (tmp_path / "elsewhere" / "back").symlink_to(root / "visual_frames")
    test_set = build_test_set("avsbench_ms3", args(tmp_path))
    assert test_set.find_missing() == {} and all("error" not in item for item in test_set)
    assert [path.name for path in files_below(root / "visual_frames")] == [f"{name}.PNG" for name in names]


def test_a_clip_counts_once(tmp_path):
    """With and without a suffix it is the same clip: ids, boxes and JSON lists refuse the second."""
    (tmp_path / "ids.csv").write_text("a.jpg\nb\na\n")
    with pytest.raises(ValueError, match="ids.csv names a twice"):
        read_ids(tmp_path / "ids.csv")
    (tmp_path / "boxes.json").write_text(json.dumps([{"file": "a", "bbox": []}] * 2))
    with pytest.raises(ValueError, match="boxes.json names a twice"):
        vggss_boxes(tmp_path / "boxes.json")
    entry = {"image": "/x/a.jpg", "audio": "a.wav", "gt_box": [0, 0, 1, 1]}
    (tmp_path / "is3.json").write_text(json.dumps([entry, {**entry, "image": "/y/a.jpg"}]))
    with pytest.raises(ValueError, match="is3.json names a twice"):
        listed_boxes(tmp_path / "is3.json")
    items = [{"id": name, "split": "train", "image": "ids.csv", "audio": "ids.csv"} for name in ("a", "a.jpg")]
    (tmp_path / "pairs.json").write_text(json.dumps(items))
    with pytest.raises(ValueError, match="'a.jpg': the id is there twice, in train"):
        prepare_pairs(tmp_path / "pairs.json", tmp_path, workers=0)


def test_extended_sets_keep_their_classes(tmp_path, metadata):
    write_vggss(tmp_path, CLIPS, {"vggss_test_5158.csv": CLIPS})
    boxes = tmp_path / "VGG-Sound/5k_labeled/Annotations/vggss_test_5158.json"
    entries = json.loads(boxes.read_text())
    for entry, name in zip(entries, ("dog", "dog", "cat", "dog"), strict=True):
        entry["class"] = name
    boxes.write_text(json.dumps(entries))
    pairs = "".join(f"{CLIPS[i]},{CLIPS[j]},non-sounding\n" for i, j in ((0, 1), (1, 3), (3, 0)))
    (metadata / "vggss_test_plus_silent.csv").write_text(f"video,audio,label\n{pairs}")
    extended = build_test_set("vggss_extended", args(tmp_path))
    assert extended.benchmark.classes == ["dog", "dog", "cat", "dog", None, None, None]
    for seed in range(5):
        donors = ShuffledSounds(extended, seed).donors
        # Dogs hear the cat, the cat one of the dogs, never what a silent pair has, whose class is not known.
        assert [donors[i] for i in (0, 1, 3)] == [2, 2, 2] and donors[2] in (0, 1, 3)
        assert all(donors[i] < 4 for i in (4, 5, 6))


def test_hdf5_and_files_give_the_same_sound(datasets):
    """The demo set's test scenes are there in both forms; a WAV file holds 16 bits a sample."""
    arrays = build_test_set("demo", args(datasets))
    files = build_test_set("flickr", args(datasets / "Demo"))
    assert arrays.ids == files.ids and len(arrays) == 6
    for index in range(len(arrays)):
        ours, theirs = arrays.waveform(index), files.waveform(index)
        assert ours.shape == theirs.shape == (SAMPLES,) and ours.dtype == theirs.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
        np.testing.assert_array_equal(arrays.audio(index)[:, 0], log_mel_patches(scale(ours)))
        assert abs(arrays.audio(index) - files.audio(index)).max() < 0.05


def test_files_say_how_their_waveforms_are_stored(tmp_path, datasets, recwarn):
    """Front ends that compute from stored waveforms get what the stored patches were made of; files that do not say
    anything are scaled."""
    folder = tmp_path / "Demo"
    shutil.copytree(datasets / "Demo", folder)
    data = folder / "VGG-Sound/5k_labeled/Data"
    with h5py.File(data / "h5py_test_audios.h5") as file:
        assert dict(file["test_audios"].attrs) == {"scaled": False, "seconds": 3}
        waveforms = file["test_audios"][:]
    with h5py.File(data / "h5py_test_spects.h5") as file:
        patches = file["test_spects"][:]
    (data / "h5py_test_spects.h5").unlink()

    def sounds():
        return StoredSounds(FRONT_ENDS["log_mel"], lambda kind: [data / f"h5py_test_{kind}.h5"], "test")

    np.testing.assert_array_equal(sounds().take(range(6))[:, :, 0], patches)
    assert sounds().source == "computed from stored waveforms of 3 s" and not recwarn
    with h5py.File(data / "h5py_test_audios.h5", "w") as file:
        file["test_audios"] = np.stack([scale(waveform) for waveform in waveforms])
    with pytest.warns(UserWarning, match="holds scaled waveforms of 3 s"):
        assert sounds().source == "computed from stored scaled waveforms of 3 s"


def write_pair(folder, name, hertz, grey):
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{name}.png"), np.full((64, 64, 3), grey, np.uint8))
    tone = 16000 * np.sin(2 * np.pi * hertz * np.arange(SAMPLES) / RATE)
    wavfile.write(folder / f"{name}.wav", RATE, tone.astype(np.int16))


def test_a_preparation_of_an_earlier_version_is_not_continued(tmp_path):
    write_pair(tmp_path / "clips", "a", 400, 100)
    clips, _ = list_clips(tmp_path / "clips")
    folder = tmp_path / "set"
    assert prepare_videos(clips, folder, "10k") == {"ok": 1}
    state = json.loads((folder / "prepare.json").read_text())
    del state["settings"]["scaled_waveforms"]
    (folder / "prepare.json").write_text(json.dumps({**state, "complete": False}))
    with pytest.raises(FileExistsError, match="begun by an earlier version, whose waveforms are scaled"):
        prepare_videos(clips, folder, "10k")


def test_frames_and_sounds_of_one_name_in_several_folders(tmp_path):
    """Each image keeps the sound of its folder; where that cannot be told, the clip is refused."""
    for name, hertz, grey in (("cat", 400, 50), ("dog", 2000, 200)):
        write_pair(tmp_path / "clips" / name, "001", hertz, grey)
    clips, _ = list_clips(tmp_path / "clips")
    refuse_clips(clips, TestClips([]))
    assert [(clip.frames[0].parent, clip.sound.parent) for clip in clips] == [
        (tmp_path / "clips" / name,) * 2 for name in ("cat", "dog")
    ]
    assert prepare_videos(clips, tmp_path / "set", "10k") == {"ok": 1, "duplicate": 1}
    lines = list(csv.DictReader((tmp_path / "set/prepared.csv").open()))
    assert "dog/001.wav has the name of" in lines[1]["reason"] and "cat/001.wav" in lines[1]["reason"]
    for kind, suffix in (("images", "png"), ("sounds", "wav")):
        for name in ("cat", "dog"):
            (tmp_path / "apart" / kind / name).mkdir(parents=True)
            shutil.copy(tmp_path / "clips" / name / f"001.{suffix}", tmp_path / "apart" / kind / name)
    clips, _ = list_clips(tmp_path / "apart")
    refuse_clips(clips, TestClips([]))
    assert prepare_videos(clips, tmp_path / "other", "10k")["ok"] == 0
    (tmp_path / "apart/sounds/dog/001.wav").unlink()
    [clip] = list_clips(tmp_path / "apart")[0]
    assert clip.refused[0] == "unusable name" and "cat/001.png and" in clip.refused[1]


def test_frames_from_0_to_1_are_refused(tmp_path, metadata):
    write_vggss(tmp_path, CLIPS)
    path = tmp_path / "VGG-Sound/5k_labeled/Data/h5py_test_frames.h5"
    frames = np.random.default_rng(0).random((4, 256, 256, 3), np.float32)
    with h5py.File(path, "w") as file:
        file["test_frames"] = frames
    assert "4 rows have colours from 0 to 1 instead of 0 to 255" in verify(tmp_path)[1][0]
    assert "frames from 0 to 1" in build_test_set("vggss", args(tmp_path))[0]["error"]
    with h5py.File(path, "w") as file:
        file["test_frames"] = 255 * frames
    assert verify(tmp_path)[1] == [] and "error" not in build_test_set("vggss", args(tmp_path))[0]


LEAKS = {  # list -> a clip that it names, in the form of a training clip
    "avsbench_s4_boxes.json": "aaaaaaaaaaa_000030",
    "avsbench_ms3_boxes.json": "bbbbbbbbbbb",
    "is3_boxes.json": "cat_dog_7_cat",
    "vggss_test_plus_silent.csv": "ccccccccccc_000001",  # in its second column
    "vggsound_test.csv": "ddddddddddd_000147",  # as VGG-Sound publishes its list
    "audioset_test.csv": "eeeeeeeeeee_000147",
}


def test_the_lists_of_every_benchmark_are_searched_for_leaks(tmp_path):
    def boxes(image, audio):
        return json.dumps([{"image": f"/x/{image}", "audio": f"/y/{audio}", "gt_box": [0, 0, 1, 1]}] * 2)

    contents = {
        "avsbench_s4_boxes.json": boxes("aaaaaaaaaaa_1.png", "aaaaaaaaaaa.wav"),
        "avsbench_ms3_boxes.json": boxes("bbbbbbbbbbb_1.mp4_1.png", "bbbbbbbbbbb_1.wav"),
        "is3_boxes.json": boxes("cat_dog_7_cat.jpg", "cat_dog_7_cat.wav"),
        "vggss_test_plus_silent.csv": "video,audio,label\nother_000001,ccccccccccc_000001,non-sounding\n",
        "vggsound_test.csv": 'ddddddddddd,147,"dog barking, near",test\n',
        "audioset_test.csv": '# YTID, start_seconds, end_seconds, labels\neeeeeeeeeee, 147.000, 157.000, "/m/0"\n',
        "flickr_test_250.txt": "10000130166.jpg\n",
    }
    for name, text in contents.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "flickr_train_10k.txt").write_text("aaaaaaaaaab_000001\n")
    found = find_test_lists(tmp_path)
    assert [path.name for path in found] == sorted(contents)
    test_clips = TestClips(found)
    for name, clip in LEAKS.items():
        assert name in test_clips.refuse(clip), name
    assert test_clips.refuse("aaaaaaaaaab_000001") is None and test_clips.refuse("12345678901") is None
    (tmp_path / "mine.txt").write_text("\n".join([*LEAKS.values(), "ddddddddddd_000200", "10000130167"]))
    lines, leaked = check_ids(tmp_path / "mine.txt", test_clips)
    assert leaked == 5  # bbbbbbbbbbb has no start: it may be another part of the video
    assert any("avsbench_ms3_boxes.json: 0 of its 1 clips, and other parts of the videos of 1" in one for one in lines)


@pytest.mark.parametrize(
    "name",
    ["aaaaaaaaaaa", "aaaaaaaaaaa_147", "aaaaaaaaaaa_147.0_157.0", "A title [aaaaaaaaaaa]", "Yaaaaaaaaaaa"],
)
def test_names_that_downloaders_give(name):
    assert video_of(name) == "aaaaaaaaaaa"


@pytest.mark.skipif(not PUBLIC.is_dir(), reason="the public lists are not at hand (python -m metadata.download)")
def test_the_public_lists_exclude_their_own_clips(tmp_path, monkeypatch):
    """Frames and sounds of every benchmark are refused; before, none of the five JSON lists' were."""
    monkeypatch.setattr(benchmarks, "METADATA", PUBLIC)
    test_clips = TestClips(find_test_lists(PUBLIC))
    for name in BENCHMARKS:
        if name in ("custom", "demo", "flickr_val"):
            continue
        index = build_index(name, tmp_path)
        for clip in {*index.images, *index.sounds}:
            assert test_clips.refuse(clip), f"{clip} of {name}"
    shared = [sum(test_clips.refuse(clip) is not None for clip in read_clip_names(PUBLIC / "vggsound_train_10k.txt"))]
    assert shared == [43]  # parts of AVSBench's videos: its list is drawn from VGG-Sound


def test_a_manifest_cannot_write_elsewhere(tmp_path):
    from metadata.download import download

    (tmp_path / "from").mkdir()
    (tmp_path / "from/ids.csv").write_text("a\n")
    digest = "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7"
    entry = {"name": "../ids.csv", "source": "x", "licence": "", "sha256": digest, "rows": 1}
    with pytest.raises(ValueError, match="leads out of"):
        download(entry, tmp_path / "to", tmp_path / "from")
    (tmp_path / "to").mkdir()
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "to/ids.csv.partial").symlink_to(tmp_path / "precious")
    download({**entry, "name": "ids.csv"}, tmp_path / "to", tmp_path / "from")
    assert (tmp_path / "precious").read_text() == "mine" and (tmp_path / "to/ids.csv").read_text() == "a\n"
