"""The benchmarks by name, on small files of their formats: what each item holds, and what is said of missing ones."""

import json
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import wavfile

from arguments_train import parse_args
from dataset import benchmarks
from dataset.benchmarks import TEST_SETS, build_index, build_test_set, find_valset
from dataset.benchmarks.annotations import listed_boxes, silent_pairs
from dataset.benchmarks.test_sets import ShuffledSounds
from dataset.media.audio import RATE, SAMPLES
from dataset.prepare.rows import TEST_KINDS, RowWriter, array_paths, make_row
from utils.results.provenance import describe_annotations

PUBLIC = Path(__file__).parents[2] / "shared" / "metadata"
CLIPS = [f"clip{i}_{i:06d}" for i in range(4)]


def args(folder):
    return Namespace(data_path=str(folder), imgSize=32, front_end="log_mel", valset="auto")


def write_media(frames, sounds, names, audio_names=None, suffix=".jpg"):
    """A grey image and a noisy sound for each name."""
    for folder, some in ((frames, names), (sounds, audio_names or names)):
        folder.mkdir(parents=True, exist_ok=True)
        for i, name in enumerate(some):
            if folder == frames:
                cv2.imwrite(str(folder / f"{name}{suffix}"), np.full((40, 60, 3), 20 * i, np.uint8))
            else:
                noise = np.random.default_rng(i).integers(-9999, 9999, SAMPLES, np.int16)
                wavfile.write(folder / f"{name}.wav", RATE, noise)


def write_vggss(root, rows, listed=None):
    """VGG-SS for CLIPS: rows are those in the HDF5 files; listed: (file name, ids) of further lists."""
    folder = root / "VGG-Sound"
    (folder / "5k_labeled" / "Annotations").mkdir(parents=True)
    entries = [{"file": name, "class": name[:5], "bbox": [[0, 0, 0.5, 0.25 * (i + 1)]]} for i, name in enumerate(CLIPS)]
    (folder / "5k_labeled/Annotations/vggss_test_5158.json").write_text(json.dumps(entries))
    (folder / "5k_labeled/Data").mkdir()
    with RowWriter(array_paths(folder / "5k_labeled/Data", "test", TEST_KINDS), "test") as writer:
        for name in rows:
            value = 10 * CLIPS.index(name)
            waveform = np.random.default_rng(value).normal(0, 0.1, SAMPLES)
            writer.add(make_row(np.full((256, 256, 3), value, np.uint8), waveform, with_mask=False))
    (folder / "vggss_test_4692.csv").write_text("".join(f"{name}\n" for name in rows))
    for name, ids in (listed or {}).items():
        (folder / name).write_text("".join(f"{item_id}\n" for item_id in ids))


def test_subsets_of_vggss_are_read_from_the_same_files_by_id(tmp_path, metadata):
    lists = {"vggss_heard_test.csv": [CLIPS[3], CLIPS[1]], "vggss_test_4655.txt": ["aaaaaaaaaaa_2000_12000"]}
    write_vggss(tmp_path, CLIPS, lists)
    heard = build_test_set("vggss_heard", args(tmp_path))
    assert [item["id"] for item in heard] == [CLIPS[3], CLIPS[1]] and heard.find_missing() == {}
    assert [int(heard.frame(i).mean()) for i in range(2)] == [30, 10]
    assert [item["gt_map"].mean() for item in heard] == [0.5, 0.25]
    assert heard.waveform(0).shape == (SAMPLES,) and heard.waveform(0).dtype == np.float32
    assert heard.benchmark.classes == ["clip3", "clip1"]
    with pytest.raises(ValueError, match="no boxes for aaaaaaaaaaa_000002"):  # milliseconds are understood
        build_test_set("vggss4655", args(tmp_path))
    (tmp_path / "VGG-Sound/5k_labeled/Data/h5py_test_audios.h5").unlink()
    assert build_test_set("vggss", args(tmp_path)).waveform(0) is None


def test_a_set_does_not_shrink_to_what_was_prepared(tmp_path, metadata):
    """The data folder's list names two rows; the published one in metadata/ says that the set has four."""
    write_vggss(tmp_path, CLIPS[1:3])
    assert build_test_set("vggss", args(tmp_path)).find_missing() == {}  # nothing tells that it is not the whole list
    (metadata / "vggss_test_4692.csv").write_text("".join(f"{name}\n" for name in CLIPS))
    whole = build_test_set("vggss", args(tmp_path))
    assert whole.ids == CLIPS and list(whole.find_missing()) == [CLIPS[0], CLIPS[3]]
    assert "error" in whole[0] and int(whole.frame(2).mean()) == 20
    (metadata / "vggss_test_4692.csv").write_text("another_000001\n")  # a list of the user's own, for other clips
    assert build_test_set("vggss", args(tmp_path)).ids == CLIPS[1:3]


def test_extended_vggss_appends_pairs_in_which_nothing_sounds(tmp_path, metadata):
    write_vggss(tmp_path, CLIPS, {"vggss_test_5158.csv": CLIPS})
    pairs = f"video,audio,label\n{CLIPS[0]},{CLIPS[2]},non-sounding\n{CLIPS[1]},gone_000000,non-sounding\n"
    (metadata / "vggss_test_plus_silent.csv").write_text(pairs)
    extended = build_test_set("vggss_extended", args(tmp_path))
    assert extended.ids == [*CLIPS, f"{CLIPS[0]}+{CLIPS[2]}", f"{CLIPS[1]}+gone_000000"]
    assert extended.benchmark.sounding == [True] * 4 + [False] * 2
    pair, whole = extended[4], extended[2]
    assert (pair["audio"] == whole["audio"]).all() and not pair["gt_map"].any() and extended.frame(4).mean() == 0
    assert list(extended.find_missing()) == [extended.ids[5]] and "gone_000000 is missing" in extended[5]["error"]
    (metadata / "vggss_test_plus_silent.csv").write_text("video,audio,label\n")
    with pytest.raises(ValueError, match="no line that ends in non-sounding"):
        silent_pairs(metadata / "vggss_test_plus_silent.csv")


def listed(metadata, name, items):
    """A JSON list with the paths of another machine: (image, audio, box) of each item."""
    entries = [
        {"image": f"/elsewhere/visual_frames/test/cat/{image}", "audio": f"/elsewhere/{audio}", "gt_box": box}
        for image, audio, box in items
    ]
    (metadata / f"{name}_boxes.json").write_text(json.dumps(entries))


def test_is3_and_vpo_name_several_things_in_an_image(tmp_path, metadata):
    names = ["cat_dog_7_cat", "cat_dog_7_dog"]
    listed(metadata, "is3", [(f"{name}.jpg", f"{name}.wav", [93, 0, 224, 112]) for name in names])
    write_media(tmp_path / "IS3/visual_frames/deeper", tmp_path / "IS3/audio_wav", names)
    is3 = build_test_set("is3", args(tmp_path))
    assert is3.benchmark.groups == ["cat_dog_7"] * 2 and is3.benchmark.classes == ["cat", "dog"]
    assert is3[0]["gt_map"].sum() == (224 - 93) * 112  # whole pixels, not one less by rounding
    assert is3.waveform(1).shape == (SAMPLES,) and is3.find_missing() == {}
    (tmp_path / "IS3/audio_wav" / f"{names[1]}.wav").unlink()
    missing = build_test_set("is3", args(tmp_path)).find_missing()
    assert list(missing) == [names[1]] and missing[names[1]].endswith(f"IS3/audio_wav/{names[1]}.wav is missing")
    listed(metadata, "vpo_ms", [("0001_22.jpg", "0001_22.wav", [0, 0, 0, 0])])
    index = build_index("vpo_ms", tmp_path)
    assert index.groups == ["0001"] and index.classes is None and not index.gt_map(0).any()


def test_avsbench_has_a_sound_for_several_frames_and_masks_where_they_are(tmp_path, metadata):
    frames = [f"vid_0.mp4_{i}" for i in (1, 2)]
    listed(metadata, "avsbench_ms3", [(f"{name}.png", "vid_0.wav", [0, 0, 112, 112]) for name in frames])
    root = tmp_path / "AVSBench/MS3"
    write_media(root / "visual_frames/vid_0", root / "audio_wav/test", frames, ["vid_0"], ".png")
    boxes = build_test_set("avsbench_ms3", args(tmp_path))
    assert [item["gt_map"].mean() for item in boxes] == [0.25, 0.25]
    assert describe_annotations(boxes.benchmark) == "in the lists"
    assert ShuffledSounds(boxes).donors == [0, 1]  # there is no other sound
    (root / "gt_masks/vid_0").mkdir(parents=True)
    mask = np.zeros((100, 200, 3), np.uint8)
    mask[:, :50, 2] = 7
    cv2.imwrite(str(root / "gt_masks/vid_0/vid_0_1.png"), mask)
    masks = build_test_set("avsbench_ms3", args(tmp_path))
    assert masks[0]["gt_map"].mean() == 0.25 and masks[0]["gt_map"][:, :56].all()
    assert "vid_0_2.png is missing: complete the masks" in masks[1]["error"]
    before = describe_annotations(masks.benchmark)
    assert before.startswith("2 .png files, sha256 ") and before == describe_annotations(masks.benchmark)
    cv2.imwrite(str(root / "gt_masks/vid_0/vid_0_1.png"), mask[::-1, ::-1])
    assert describe_annotations(masks.benchmark) != before
    listed(metadata, "avsbench_s4", [("a_1.png", "a.wav", [0, 0, 1, 1])])
    assert build_index("avsbench_s4", tmp_path).classes == ["test"]  # the folder above the clip's


@pytest.mark.parametrize("entry", [{}, {"image": "a.jpg", "audio": "a.wav", "gt_box": [1, 2, 3]}, 3])
def test_a_list_of_boxes_that_is_none_is_named(tmp_path, entry):
    (tmp_path / "x.json").write_text(json.dumps([entry]))
    with pytest.raises(ValueError, match="x.json cannot be read as a list of boxes"):
        listed_boxes(tmp_path / "x.json")


def test_flickr_validation_is_drawn_outside_the_test_list(tmp_path, metadata):
    annotations = tmp_path / "SoundNet_Flickr/5k_labeled/Annotations"
    annotations.mkdir(parents=True)
    (metadata / "flickr_test249_in5k.csv").write_text("1,20\n2,30\n")
    for i in (*range(1, 252), 3908875350):
        (annotations / f"{i}.xml").write_text("<a/>")
    for folder, suffix in (("frames", "jpg"), ("audio", "wav")):
        place = tmp_path / "SoundNet_Flickr/5k_labeled/Data" / folder
        place.mkdir(parents=True)
        for i in range(1, 300):
            (place / f"{i}.{suffix}").touch()
    assert find_valset(args(tmp_path)) == "none"  # 249 are left
    for i in range(252, 300):
        (annotations / f"{i}.xml").write_text("<a/>")
    assert find_valset(args(tmp_path)) == "flickr_val"
    argv = ["--data_path", str(tmp_path), "--trainset"]
    assert find_valset(parse_args([*argv, "flickr10k"])) == "flickr_val"
    for flags in (["demo"], ["flickr10k", "--valset", "none"]):
        assert find_valset(parse_args([*argv, *flags])) == "none"
    drawn = build_index("flickr_val", tmp_path).ids
    assert len(drawn) == len(set(drawn)) == 250 and not {"1", "2", "3908875350"} & set(drawn)
    (tmp_path / "SoundNet_Flickr/5k_labeled/Data/audio" / f"{drawn[0]}.wav").unlink()
    assert find_valset(args(tmp_path)) == "none"
    (annotations / f"{drawn[0]}.xml").unlink()
    again = build_index("flickr_val", tmp_path).ids
    assert len(set(again) & set(drawn)) == 249  # one clip less changes one clip


@pytest.mark.skipif(not PUBLIC.is_dir(), reason="the public lists are not at hand (python -m metadata.download)")
def test_the_public_lists(tmp_path, monkeypatch):
    """What the benchmarks hold, and the items without a valid box, of which the README tells."""
    monkeypatch.setattr(benchmarks, "METADATA", PUBLIC)
    expected = {  # items, of which without a box
        "flickr": (249, None),
        "flickr250": (250, None),
        "vggss": (4692, 1),
        "vggss5158": (5158, 2),
        "vggss4655": (4655, 2),
        "vggss_heard": (2564, 2),
        "vggss_unheard": (2575, 0),
        "flickr_extended": (500, None),
        "vggss_extended": (10316, 5160),
        "is3": (6480, 0),
        "avsbench_s4": (3700, 6),
        "avsbench_ms3": (320, 29),
        "vpo_ss": (890, 0),
        "vpo_ms": (2157, 2),
    }
    assert {*expected, "flickr_val", "demo", "custom"} == set(TEST_SETS)
    for name, (items, without_box) in expected.items():
        index = build_index(name, tmp_path)
        assert len(index) == len(set(index.ids)) == items, name
        if without_box is not None:
            assert sum(not index.gt_map(i).any() for i in range(items)) == without_box, name
    assert len(set(build_index("is3", tmp_path).groups)) == 3240
    sizes = np.unique(build_index("vpo_ms", tmp_path).groups, return_counts=True)[1]
    assert (sizes == 1).sum() == 759 and (sizes > 1).sum() == 673
