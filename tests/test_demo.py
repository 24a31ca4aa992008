"""The demo set: what its scenes show and sound like, and the files that are written."""

import json
import xml.etree.ElementTree as ET

import cv2
import h5py
import numpy as np
import pytest
from scipy.io import wavfile

from dataset.demo import generate
from dataset.demo.scenes import CLASSES, make_scene
from dataset.demo.sounds import play_thing
from dataset.demo.things import draw_thing
from dataset.frontends.log_mel import log_mel_patches, scale
from dataset.media.audio import SAMPLES

TRAIN, TEST = 12, 8
TRAIN_FILES = {  # under SoundNet_Flickr/10k_unlabeled
    "h5py_train_frames_10k.h5": ("train_frames", (256, 256, 3), np.uint8),
    "h5py_train_audios_10k.h5": ("train_audios", (48000,), np.float32),
    "h5py_train_spects_10k.h5": ("train_spects", (3, 96, 64), np.float32),
}
TEST_FILES = {  # under VGG-Sound/5k_labeled/Data
    "h5py_test_frames.h5": ("test_frames", (256, 256, 3), np.uint8),
    "h5py_test_audios.h5": ("test_audios", (48000,), np.float32),
    "h5py_test_spects.h5": ("test_spects", (3, 96, 64), np.float32),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets") / "demo"
    generate(root, TRAIN, TEST, seed=3, workers=2)
    return root


@pytest.fixture(scope="module")
def scenes():
    return [make_scene(np.random.default_rng([1, i])) for i in range(60)]


def area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def shared(first, second):
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(width, 0) * max(height, 0)


def read(path, name):
    with h5py.File(path) as file:
        return file[name][:]


def test_scene_types(scenes):
    scene = scenes[0]
    assert scene.frame.shape == (256, 256, 3) and scene.frame.dtype == np.uint8
    assert scene.waveform.shape == (SAMPLES,) and scene.waveform.dtype == np.float32
    assert all(0.1 < np.abs(scene.waveform).max() <= 1 for scene in scenes)
    assert len({round(float(np.abs(scene.waveform).max()), 2) for scene in scenes}) > 10  # loudness varies


def test_boxes_have_the_promised_sizes_and_hardly_overlap(scenes):
    sounding = [area(scene.box) for scene in scenes]
    silent = [area(box) for scene in scenes for box in scene.silent_boxes]
    assert min(sounding + silent) > 0.09 and max(sounding + silent) < 0.41
    assert 0.22 < np.mean(sounding) < 0.3
    assert abs(np.mean(sounding) - np.mean(silent)) < 0.03  # size does not tell which one sounds
    for scene in scenes:
        boxes = [scene.box, *scene.silent_boxes]
        for i, box in enumerate(boxes):
            assert 0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1
            for other in boxes[:i]:
                assert shared(box, other) <= 0.12 * min(area(box), area(other))  # 0.1 before rounding to pixels


def test_positions_cover_the_frame(scenes):
    centres = np.array([[scene.box[0] + scene.box[2], scene.box[1] + scene.box[3]] for scene in scenes]) / 2
    assert (np.percentile(centres, 15, axis=0) < 0.4).all() and (np.percentile(centres, 85, axis=0) > 0.6).all()


def test_silent_things_are_of_other_classes(scenes):
    for scene in scenes:
        assert 1 <= len(scene.silent) <= 2 and len(scene.silent_boxes) == len(scene.silent)
        names = [scene.sounding, *scene.silent]
        assert len(set(names)) == len(names) and set(names) <= set(CLASSES)
    assert {len(scene.silent) for scene in scenes} == {1, 2}
    assert {scene.sounding for scene in scenes} == set(CLASSES)


def test_silent_boxes_are_in_the_order_of_their_names():
    """A thing is recognised by its colours: the histogram of its box lies nearest to that of its class."""
    drawn = [[draw_thing(name, np.random.default_rng(i))[..., :3] for i in range(8)] for name in CLASSES]
    looks = np.array([np.mean([saturated(picture) for picture in pictures], 0) for pictures in drawn])
    right = []
    for i in range(40):
        scene = make_scene(np.random.default_rng([2, i]))
        names, boxes = [scene.sounding, *scene.silent], [scene.box, *scene.silent_boxes]
        for name, box in zip(names, boxes, strict=True):
            x0, y0, x1, y1 = (round(256 * edge) for edge in box)
            look = saturated(scene.frame[y0:y1, x0:x1])
            candidates = [CLASSES.index(other) for other in names]
            right.append(names[int(np.argmin(((looks[candidates] - look) ** 2).sum(1)))] == name)
    assert np.mean(right) > 0.9


def saturated(picture):
    """Histogram of the hues, weighted by saturation and value: (24,), sum 1."""
    hue, saturation, value = cv2.split(cv2.cvtColor(picture.astype(np.uint8), cv2.COLOR_RGB2HSV).astype(np.float64))
    weight = np.maximum(saturation - 110, 0) * value
    return np.histogram(hue, 24, (0, 180), weights=weight)[0] / weight.sum()


@pytest.mark.parametrize("name", CLASSES)
def test_drawings_fill_their_box_and_vary(name):
    sprites = [draw_thing(name, np.random.default_rng(i)) for i in range(4)]
    for sprite in sprites:
        opaque = sprite[..., 3] > 127
        assert opaque.mean() > 0.5
        assert opaque[0].any() and opaque[-1].any() and opaque[:, 0].any() and opaque[:, -1].any()
    assert len({sprite.shape for sprite in sprites}) > 1


def test_timbres_are_told_apart_in_every_patch():
    """Nearest class mean of the mean log-mel spectrum: means from half of the clips, tested on the others' patches."""

    def spectrum(c, i):  # (3, 64): mean over time of each patch
        return log_mel_patches(scale(play_thing(CLASSES[c], np.random.default_rng([c, i])))).mean(1)

    spectra = np.array([[spectrum(c, i) for i in range(12)] for c in range(len(CLASSES))])
    means = spectra[:, ::2].mean((1, 2))
    held_out = spectra[:, 1::2].reshape(len(CLASSES), -1, 1, spectra.shape[-1])
    guess = ((held_out - means) ** 2).sum(-1).argmin(-1)
    assert (guess == np.arange(len(CLASSES))[:, None]).mean() > 0.9


def test_train_files(root):
    folder = root / "SoundNet_Flickr/10k_unlabeled"
    assert {path.name for path in folder.iterdir()} == set(TRAIN_FILES)
    arrays = {}
    for file, (name, shape, dtype) in TRAIN_FILES.items():
        arrays[name] = read(folder / file, name)
        assert arrays[name].shape == (TRAIN, *shape) and arrays[name].dtype == dtype
    for i in (0, TRAIN - 1):
        scene = make_scene(np.random.default_rng([3, 0, i]), CLASSES[i % len(CLASSES)])
        np.testing.assert_array_equal(arrays["train_frames"][i], scene.frame)
        np.testing.assert_allclose(arrays["train_audios"][i], scene.waveform, atol=1e-5)
        spect = log_mel_patches(scale(arrays["train_audios"][i]))
        np.testing.assert_allclose(arrays["train_spects"][i], spect, atol=1e-4)


def test_test_files_hold_the_same_scenes(root):
    flickr, vggsound = root / "SoundNet_Flickr", root / "VGG-Sound"
    arrays = {}
    for file, (name, shape, dtype) in TEST_FILES.items():
        arrays[name] = read(vggsound / "5k_labeled/Data" / file, name)
        assert arrays[name].shape == (TEST, *shape) and arrays[name].dtype == dtype
    ids = (flickr / "flickr_test249_in5k.csv").read_text().split()
    assert ids == (vggsound / "vggss_test_4692.csv").read_text().split()
    assert len(ids) == TEST and ids[0] == "demo_0000"
    entries = json.loads((vggsound / "5k_labeled/Annotations/vggss_test_5158.json").read_text())
    assert [entry["file"] for entry in entries] == ids
    assert [entry["class"] for entry in entries] == list(CLASSES[:TEST])
    for i, (key, entry) in enumerate(zip(ids, entries, strict=True)):
        assert entry["class"] not in entry["silent"] and set(entry["silent"]) <= set(CLASSES)
        objects = ET.parse(flickr / f"5k_labeled/Annotations/{key}.xml").getroot().findall("object")
        drawn = [[int(edge.text) for edge in list(thing.find("bbox"))[1:]] for thing in objects]
        assert len(drawn) == 2 and drawn[0] == drawn[1]
        np.testing.assert_allclose(drawn[0], 256 * np.array(entry["bbox"][0]), atol=1)
        picture = cv2.imread(str(flickr / f"5k_labeled/Data/frames/{key}.jpg"))[..., ::-1].astype(float)
        assert np.abs(picture - arrays["test_frames"][i]).mean() < 6
        rate, samples = wavfile.read(flickr / f"5k_labeled/Data/audio/{key}.wav")
        assert rate == 16000 and samples.dtype == np.int16
        np.testing.assert_allclose(samples / 32767, arrays["test_audios"][i], atol=1e-4)
        np.testing.assert_allclose(
            log_mel_patches(scale(arrays["test_audios"][i])), arrays["test_spects"][i], atol=1e-4
        )


def test_any_number_of_workers_writes_the_same(root, tmp_path):
    generate(tmp_path / "demo", TRAIN, TEST, seed=3, workers=1)
    files = sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
    again = sorted(path.relative_to(tmp_path / "demo") for path in (tmp_path / "demo").rglob("*") if path.is_file())
    assert files == again and len(files) == 3 + 3 + 3 * TEST + 3
    for path in files:
        if path.suffix == ".h5":
            with h5py.File(root / path) as first, h5py.File(tmp_path / "demo" / path) as second:
                (name,) = first
                np.testing.assert_array_equal(first[name][:], second[name][:])
        else:
            assert (root / path).read_bytes() == (tmp_path / "demo" / path).read_bytes()


def test_an_existing_folder_is_left_alone(tmp_path):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo/mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="exists already"):
        generate(tmp_path / "demo", 1, 1)
    assert [path.name for path in tmp_path.rglob("*")] == ["demo", "mine.txt"]


def test_an_interrupted_run_leaves_no_set(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("dataset.demo.files._write_test", stop)
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "demo", 1, 1, workers=1)
    assert not (tmp_path / "demo").exists()
