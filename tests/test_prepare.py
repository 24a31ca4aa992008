"""dataset.prepare pairs: small pairs through the command line, every manifest problem by name."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from scipy.io import wavfile

from dataset.augment.regions import felzenszwalb_regions
from dataset.benchmarks.annotations import check_id
from dataset.frontends.log_mel import log_mel_patches, scale
from dataset.media.audio import load_clip
from dataset.media.image import read_image, resize
from dataset.prepare.pairs import new_folder, prepare_pairs, read_pairs
from dataset.storage.parallel import map_in_order

ROOT = Path(__file__).resolve().parent.parent
COLOURS = [(200, 30, 20), (20, 180, 40), (30, 40, 190), (220, 210, 10), (90, 90, 90)]  # RGB, one an item
TEST_ITEMS = (1, 4)


def write_pair(folder, number):
    """A PNG, one colour left of x = 3/4 and black right of it, with a tone; returns the manifest's entry."""
    image = np.zeros((90 + 100 * number, 400, 3), np.uint8)
    image[:, :300] = COLOURS[number]
    cv2.imwrite(str(folder / f"{number}.png"), image[:, :, ::-1])
    rate = 16000 if number % 2 else 22050
    tone = np.sin(2 * np.pi * 300 * (number + 1) * np.arange(rate * (number + 1)) / rate)
    wavfile.write(folder / f"{number}.wav", rate, (tone * 12000).astype(np.int16))
    return {"id": f"pair_{number}", "split": "train", "image": f"{number}.png", "audio": f"{number}.wav"}


def write_manifest(folder, entries):
    path = folder / "pairs.json"
    path.write_text(json.dumps(entries))
    return path


@pytest.fixture
def entries(tmp_path):
    """Five pairs in tmp_path, the second and the last for testing."""
    found = [write_pair(tmp_path, number) for number in range(len(COLOURS))]
    for number in TEST_ITEMS:
        found[number] |= {"split": "test", "boxes": [[0, 0.25, 0.75, 1], [0.1, 0.1, 0.2, 0.2]][: number % 3 + 1]}
    found[1]["class"] = "tone"
    return found


def command(*arguments):
    line = [sys.executable, "-m", "dataset.prepare", *map(str, arguments)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def read(path, name):
    with h5py.File(path) as file:
        return file[name][:]


def check_rows(folder, split, numbers, source, suffix=""):
    """The arrays of one split hold the items `numbers`, in this order; returns the frames."""
    frames, audios, spects = (
        read(folder / f"h5py_{split}_{kind}{suffix}.h5", f"{split}_{kind}") for kind in ("frames", "audios", "spects")
    )
    assert frames.shape == (len(numbers), 256, 256, 3) and frames.dtype == np.uint8
    assert audios.shape == (len(numbers), 48000) and audios.dtype == np.float32
    assert spects.shape == (len(numbers), 3, 96, 64) and spects.dtype == np.float32
    for row, number in enumerate(numbers):
        assert (frames[row, :, :180] == COLOURS[number]).all() and (frames[row, :, 200:] == 0).all()
        expected = load_clip(source / f"{number}.wav")
        np.testing.assert_array_equal(audios[row], expected)
        np.testing.assert_array_equal(spects[row], log_mel_patches(scale(expected)))
    return frames


def test_pairs_command(tmp_path, entries):
    manifest, out = write_manifest(tmp_path, entries), tmp_path / "Data {sets}"
    done = command("pairs", "--manifest", manifest, "--out", out, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert "3 training items, 2 test items" in done.stdout and "items/s" in done.stderr

    custom = out / "Custom"
    train = [number for number in range(len(COLOURS)) if number not in TEST_ITEMS]
    frames = check_rows(custom / "unlabeled", "train", train, tmp_path, "_custom")
    masks = read(custom / "unlabeled" / "h5py_train_masks_custom.h5", "train_masks")
    assert masks.dtype == np.uint8
    np.testing.assert_array_equal(masks, [felzenszwalb_regions(frame) for frame in frames])
    assert masks[0, 0, 0] != masks[0, 0, -1]
    assert (custom / "unlabeled" / "train_ids.csv").read_text() == "".join(f"pair_{number}\n" for number in train)

    check_rows(custom / "labeled" / "Data", "test", TEST_ITEMS, tmp_path)
    assert (custom / "custom_test.csv").read_text().split() == ["pair_1", "pair_4"]
    assert json.loads((custom / "labeled" / "Annotations" / "custom_test.json").read_text()) == [
        {"file": "pair_1", "class": "tone", "bbox": [[0, 0.25, 0.75, 1], [0.1, 0.1, 0.2, 0.2]]},
        {"file": "pair_4", "class": "", "bbox": [[0, 0.25, 0.75, 1], [0.1, 0.1, 0.2, 0.2]]},
    ]
    assert len([path for path in out.rglob("*") if path.is_file()]) == 10 and list(out.iterdir()) == [custom]

    again = command("pairs", "--manifest", manifest, "--out", out)
    assert again.returncode == 1 and "already there: move it away" in again.stderr
    assert len(again.stderr.splitlines()) == 1


def test_without_test_items_there_is_no_test_set(tmp_path, entries):
    assert prepare_pairs(write_manifest(tmp_path, entries[2:3]), tmp_path, workers=0) == (1, 0)
    assert [path.name for path in (tmp_path / "Custom").iterdir()] == ["unlabeled"]


def test_a_bad_item_stops_the_run_with_its_name(tmp_path, entries):
    manifest = write_manifest(tmp_path, entries)
    (tmp_path / "3.png").write_bytes(b"not an image")
    done = command("pairs", "--manifest", manifest, "--out", tmp_path, "--workers", 1)
    assert done.returncode == 1 and not list(tmp_path.glob("Custom*"))
    assert done.stderr.splitlines()[-1].startswith("item 'pair_3'") and "Traceback" not in done.stderr
    write_pair(tmp_path, 3)
    for content in (b"", b"RIFF", (tmp_path / "3.wav").read_bytes()[:30], (tmp_path / "3.wav").read_bytes()[:44]):
        (tmp_path / "3.wav").write_bytes(content)
        with pytest.raises(ValueError, match="item 'pair_3'"):
            prepare_pairs(manifest, tmp_path, workers=0)
    wavfile.write(tmp_path / "3.wav", 16000, np.full(48000, np.nan, np.float32))
    with pytest.raises(ValueError, match="item 'pair_3'.* not finite"):
        prepare_pairs(manifest, tmp_path, workers=0)
    assert not list(tmp_path.glob("Custom*"))


@pytest.mark.parametrize(
    "number, change, message",
    [
        (0, {"id": "pair_2"}, "'pair_2': the id is there twice, in train:"),
        (1, {"id": "pair_0"}, "'pair_0': the id is there twice, in train and test"),
        (0, {"id": "../pair"}, "item number 1: '../pair' cannot be an id"),
        (2, {"id": None}, "item number 3: None cannot be an id"),
        (0, {"split": "val"}, "'pair_0': split is 'val'"),
        (0, {"split": ["train"]}, "'pair_0': split is"),
        (0, {"image": "nowhere.png"}, "'pair_0': .*nowhere.png is missing"),
        (0, {"audio": None}, "'pair_0': audio is None"),
        (1, {"boxes": None}, "'pair_1': a test item needs boxes"),
        (1, {"boxes": []}, "'pair_1': a test item needs boxes"),
        (1, {"boxes": [0.1, 0.1, 0.2, 0.2]}, "'pair_1': box 0.1 is not"),
        (1, {"boxes": [[0.1, 0.1, 0.2]]}, "'pair_1': box .* is not"),
        (1, {"boxes": [[0.1, 0.1, 0.2, "1"]]}, "'pair_1': box .* is not"),
        (1, {"boxes": [[0.1, 0.1, 0.2, 1.1]]}, "'pair_1': box .* outside 0..1 or inverted"),
        (1, {"boxes": [[0.5, 0.1, 0.2, 0.9]]}, "'pair_1': box .* outside 0..1 or inverted"),
        (1, {"boxes": [[0.1, float("nan"), 0.2, 0.9]]}, "'pair_1': box .* outside 0..1 or inverted"),
        (0, {"boxes": "left"}, "'pair_0': boxes is 'left'"),
        (0, {"class": 7}, "'pair_0': class is 7"),
    ],
)
def test_manifest_problems_are_named(tmp_path, entries, number, change, message):
    entries[number] |= change
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_pairs(write_manifest(tmp_path, entries))


def test_manifests_that_are_no_list_of_items(tmp_path, entries):
    with pytest.raises(FileNotFoundError, match="--manifest"):
        read_pairs(tmp_path / "nowhere.json")
    for content, message in (({"id": 1}, "a JSON list"), ([3], "item number 1"), ([], "no item with split 'train'")):
        with pytest.raises(ValueError, match=message):
            read_pairs(write_manifest(tmp_path, content))
    with pytest.raises(ValueError, match="no item with split 'train'"):
        read_pairs(write_manifest(tmp_path, [entries[1]]))
    (tmp_path / "pairs.json").write_text("[{")
    with pytest.raises(ValueError, match="is not JSON"):
        read_pairs(tmp_path / "pairs.json")


@pytest.mark.parametrize("bad", ["", ".", "..", "a/b", "a\\b", "../a", "C:a", "a,b", "a\n", " a", 3, None, "a\u2028b"])
def test_ids_stay_in_their_folder(bad):
    with pytest.raises(ValueError, match="the list: .* cannot be an id"):
        check_id(bad, "the list")


@pytest.mark.parametrize("good", ["10000130166", "--g-f_I2yQ_000001", "Hund 1", "a.b", "käfer"])
def test_ids_that_are_fine(good):
    assert check_id(good, "the list") == good


def test_frames_are_antialiased_and_upright(tmp_path):
    stripes = np.zeros((100, 1024, 3), np.uint8)
    stripes[:, ::2] = 255  # finer than a pixel of the result
    cv2.imwrite(str(tmp_path / "stripes.png"), stripes)
    frame = resize(read_image(tmp_path / "stripes.png"), 256)
    inner = frame[:, 4:-4].astype(int)  # at the border the pattern is cut
    assert frame.shape == (256, 256, 3) and abs(inner - 127).max() <= 1
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), noise[:, :, ::-1])
    np.testing.assert_array_equal(resize(read_image(tmp_path / "noise.png"), 256), noise)


def test_map_in_order_looks_only_a_little_ahead():
    taken = []
    results = map_in_order(abs, (taken.append(number) or -number for number in range(100)), workers=1)
    assert [next(results) for _ in range(3)] == [0, 1, 2] and len(taken) < 10
    assert list(results) == list(range(3, 100))


def test_new_folder_never_overwrites(tmp_path):
    (tmp_path / "here.partial").mkdir()
    (tmp_path / "there").mkdir()
    for name in ("here", "there"):
        with pytest.raises(FileExistsError, match=name), new_folder(tmp_path / name):
            pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here.partial", "there"]


def test_compressed_sound(tmp_path):
    av = pytest.importorskip("av", reason="PyAV is not installed: only WAV is read")
    entry = write_pair(tmp_path, 0) | {"audio": "0.flac"}
    rate, samples = wavfile.read(tmp_path / "0.wav")
    with av.open(str(tmp_path / "0.flac"), "w") as container:
        stream = container.add_stream("flac", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    prepare_pairs(write_manifest(tmp_path, [entry]), tmp_path, workers=0)
    audio = read(tmp_path / "Custom" / "unlabeled" / "h5py_train_audios_custom.h5", "train_audios")[0]
    np.testing.assert_allclose(audio, load_clip(tmp_path / "0.wav"), atol=1e-5)
