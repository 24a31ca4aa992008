"""Reading: HDF5 shards, regions, the two-view transform, sound files; and what is said when something is wrong."""

import sys
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import torch
from scipy.io import wavfile

from dataset.augment.regions import felzenszwalb_regions, grid_regions
from dataset.benchmarks.index import FlickrIndex, VGGSSIndex
from dataset.benchmarks.test_sets import FilesTest, HDF5Test
from dataset.frontends.log_mel import log_mel_patches, scale
from dataset.media.audio import RATE, SAMPLES, load_clip
from dataset.media.image import denormalise, normalise, read_image, resize
from dataset.storage.hdf5 import HDF5Array, hdf5_writer
from dataset.storage.layout import find_shards
from dataset.storage.regions import ComputedRegions, store_regions
from dataset.train_loader import TrainLoader
from dataset.train_set import FELZENSZWALB, TrainSet, open_arrays


def write_shard(folder, shard, rows, first=0, kinds=("frames", "spects"), dtype=np.uint8, **shapes):
    """Training files whose frames are constant: row number + 10."""
    row_shapes = {"frames": (256, 256, 3), "spects": (3, 96, 64), "masks": (256, 256)} | shapes
    for kind in kinds:
        path = folder / f"h5py_train_{kind}_{shard}.h5"
        kind_dtype = {"frames": dtype, "spects": np.float32, "masks": np.uint8}[kind]
        with hdf5_writer(path, f"train_{kind}", row_shapes[kind], kind_dtype, rows) as data:
            for row in range(rows):
                data[row] = first + row + 10


def open_set(folder, regions=FELZENSZWALB, num_train=None, **options):
    """The training set of a folder."""
    return TrainSet(open_arrays(folder, regions=regions, num_train=num_train), **options)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_shards_make_one_set_in_numerical_order(tmp_path, dtype):
    for shard in range(1, 11):
        write_shard(tmp_path, f"144k_{shard}", 2, 2 * shard - 2, dtype=dtype)
    assert find_shards(tmp_path) == [f"144k_{shard}" for shard in range(1, 11)]
    train_set = open_set(tmp_path, size=32)
    frames = train_set.arrays.frames
    assert len(train_set) == 20
    assert [int(frames[i][0, 0, 0]) for i in range(20)] == list(range(10, 30))
    rows = [19, 3, 4, 5, 0, 1, 2, 19]  # neighbours in one file, across two, and twice
    assert frames.take(rows, np.uint8)[:, 0, 0, 0].tolist() == [row + 10 for row in rows]
    item = train_set[19]
    assert item["audio"].shape == (3, 1, 96, 64) and (item["audio"] == 29).all()
    assert [view.shape for view in item["views"]] == [(32, 32, 3)] * 2
    assert [labels.shape for labels in item["regions"]] == [(1, 32, 32)] * 2
    assert len(open_set(tmp_path, num_train=7)) == 7
    assert len(open_set(tmp_path, num_train=144_000)) == 20


def test_what_is_wrong_with_training_files_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is missing: .*--data_path"):
        open_arrays(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="has no h5py_train_frames"):
        open_arrays(tmp_path)
    write_shard(tmp_path, "144k_1", 2)
    write_shard(tmp_path, "144k_3", 2)
    with pytest.raises(FileNotFoundError, match="h5py_train_frames_144k_2.h5 is missing"):
        open_arrays(tmp_path)
    write_shard(tmp_path, "144k_2", 2, kinds=["spects"])
    with pytest.raises(FileNotFoundError, match="h5py_train_frames_144k_2.h5 is missing"):
        open_arrays(tmp_path)
    write_shard(tmp_path, "144k_2", 3, kinds=["frames"])
    with pytest.raises(ValueError, match="frames_144k_2.h5 has 3 rows but h5py_train_spects_144k_2.h5 has 2"):
        open_arrays(tmp_path)
    write_shard(tmp_path, "144k_2", 2, kinds=["frames"], frames=(128, 128, 3))
    with pytest.raises(ValueError, match=r"frames_144k_2.h5: .*\(128, 128, 3\), expected \(256, 256, 3\)"):
        open_arrays(tmp_path)
    write_shard(tmp_path, "144k_2", 2, kinds=["frames"])
    write_shard(tmp_path, "144k_1", 2, kinds=["masks"])
    write_shard(tmp_path, "144k_2", 3, kinds=["masks"])
    write_shard(tmp_path, "144k_3", 2, kinds=["masks"])
    with pytest.raises(ValueError, match="frames_144k_2.h5 has 2 rows but h5py_train_masks_144k_2.h5 has 3"):
        open_arrays(tmp_path)
    (tmp_path / "h5py_train_spects_144k_2.h5").write_bytes(b"not HDF5")
    with pytest.raises(ValueError, match="spects_144k_2.h5 cannot be read as HDF5"):
        open_arrays(tmp_path)
    with h5py.File(tmp_path / "h5py_train_spects_144k_2.h5", "w") as file:
        file["spects"] = np.zeros((2, 3, 96, 64))
    with pytest.raises(ValueError, match="no dataset 'train_spects'"):
        open_arrays(tmp_path)


def test_an_array_can_be_sent_to_another_process(tmp_path):
    import pickle

    write_shard(tmp_path, "10k", 3)
    array = HDF5Array([tmp_path / "h5py_train_frames_10k.h5"], "train_frames", (256, 256, 3))
    assert array[2][0, 0, 0] == 12
    assert pickle.loads(pickle.dumps(array))[1][0, 0, 0] == 11
    for rows in ([3], [1, 2, 3], [-1]):
        with pytest.raises(IndexError):
            array.take(rows, np.uint8)


def test_a_sample_depends_on_seed_epoch_and_index_alone(tmp_path):
    write_shard(tmp_path, "10k", 4)
    with h5py.File(tmp_path / "h5py_train_frames_10k.h5", "r+") as file:
        file["train_frames"][...] = np.random.default_rng(0).integers(0, 256, (4, 256, 256, 3))

    def batches(workers, epoch, seed=1):
        loader = TrainLoader(open_set(tmp_path, size=32, seed=seed), 2, 0, workers, torch.device("cpu"))
        loader.start(epoch)
        loader.sampler.epoch = 0  # the same order
        return torch.cat([batch["views"][0] for batch in loader])

    assert torch.equal(batches(0, 3), batches(2, 3))
    assert not torch.equal(batches(0, 3), batches(0, 4))
    assert not torch.equal(batches(0, 3), batches(0, 3, seed=2))


def test_stored_masks_are_used_and_grids_where_asked_for(tmp_path):
    write_shard(tmp_path, "10k", 2, kinds=("frames", "spects", "masks"))
    assert (open_set(tmp_path, size=32)[1]["regions"][0] == 11).all()
    labels = open_set(tmp_path, regions=4, size=32)[1]["regions"]
    assert all(len(view.unique()) >= 9 and view.max() < 16 for view in labels)
    assert (open_set(tmp_path, regions=1, size=32)[1]["regions"][0] == 0).all()
    assert "regions" not in open_set(tmp_path, regions=None, size=32)[1]  # of a method that reads none


def test_missing_regions_are_stored_once(tmp_path):
    rng = np.random.default_rng(0)
    for shard, rows in (("144k_1", 2), ("144k_2", 3)):
        write_shard(tmp_path, shard, rows)
        with h5py.File(tmp_path / f"h5py_train_frames_{shard}.h5", "r+") as file:
            file["train_frames"][:, :, 128:] = rng.integers(100, 255, (rows, 1, 1, 3))
    frames = open_arrays(tmp_path).frames

    def stored():
        return not isinstance(open_arrays(tmp_path).regions, ComputedRegions)

    store_regions(tmp_path, num_train=4, workers=0)
    assert not list(tmp_path.glob("*masks*")) and not stored()
    store_regions(tmp_path, None, workers=2)
    (tmp_path / "h5py_train_masks_144k_1.h5").unlink()  # as after an interruption
    assert not stored()
    second = (tmp_path / "h5py_train_masks_144k_2.h5").stat().st_mtime_ns
    store_regions(tmp_path, 5, workers=0)
    assert (tmp_path / "h5py_train_masks_144k_2.h5").stat().st_mtime_ns == second
    regions = open_arrays(tmp_path).regions
    assert stored() and len(regions) == 5
    for index in range(5):
        np.testing.assert_array_equal(regions[index], felzenszwalb_regions(frames[index]))
        assert len(np.unique(regions[index])) == 2


def test_regions():
    frame = np.zeros((256, 256, 3), np.uint8)
    frame[:, 100:] = (200, 30, 30)
    frame[150:, :100] = (30, 30, 200)
    labels = felzenszwalb_regions(frame)
    assert labels.dtype == np.uint8 and labels.shape == (256, 256) and len(np.unique(labels)) == 3
    assert len({labels[50, 50], labels[50, 200], labels[200, 50]}) == 3
    for grid in (1, 2, 4, 8):
        cells = grid_regions(224, grid, np.random.default_rng(0))
        values, counts = np.unique(cells, return_counts=True)
        assert values.tolist() == list(range(grid * grid)) and (counts == (224 // grid) ** 2).all()


def test_images_are_resized_as_pillow_does():
    Image = pytest.importorskip("PIL.Image", reason="Pillow, to compare with, comes with torchvision")
    g = np.random.default_rng(0)
    photo = cv2.GaussianBlur(g.integers(0, 256, (300, 500, 3)).astype(np.uint8), (0, 0), 1.5)
    for size in (224, 246, 512):
        expected = np.asarray(Image.fromarray(photo).resize((size, size), Image.BICUBIC)).astype(int)
        difference = np.abs(resize(photo, size).astype(int) - expected)
        assert difference.max() <= 2 and (difference > 0).mean() < 0.02
    assert (denormalise(normalise(photo)) == photo).all()


def test_log_mel_and_scaling_equal_the_golden_values():
    golden = np.load(Path(__file__).parent / "golden" / "audio.npz")
    for waveform, expected in zip(golden["waveform_int16"], golden["log_mel"], strict=True):
        assert np.abs(log_mel_patches(waveform / 32768) - expected).max() < 1e-4
    before = golden["scale_in"].copy()
    assert np.abs(scale(before) - golden["scale_out"]).max() < 1e-6
    assert np.array_equal(before, golden["scale_in"])  # not in place
    assert scale(np.zeros(100)).tolist() == [-1] * 100  # silence stays finite
    with pytest.raises(ValueError, match="shorter than one log-mel patch"):
        log_mel_patches(np.zeros(100))


def test_clips_are_centred_tiled_mixed_and_resampled(tmp_path):
    path = tmp_path / "a.wav"
    ramp = np.arange(5 * RATE, dtype=np.int16) % 30000
    wavfile.write(path, RATE, ramp)
    assert np.allclose(load_clip(path) * 32768, ramp[RATE : 4 * RATE])
    wavfile.write(path, RATE, np.stack([ramp, -ramp], axis=1))
    assert np.allclose(load_clip(path), 0)  # stereo: the mean
    wavfile.write(path, RATE, ramp[:RATE])
    clip = load_clip(path)
    assert len(clip) == SAMPLES and np.allclose(clip[: SAMPLES // 3], clip[SAMPLES // 3 : 2 * SAMPLES // 3])
    wavfile.write(path, RATE, np.full(SAMPLES, 192, np.uint8))
    assert np.allclose(load_clip(path), 0.5)
    seconds = np.arange(4 * 44100) / 44100
    wavfile.write(path, 44100, np.sin(2 * np.pi * 440 * seconds).astype(np.float32))
    spectrum = np.abs(np.fft.rfft(load_clip(path)))
    assert spectrum.argmax() == 440 * 3


def test_sound_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="b.wav is missing"):
        load_clip(tmp_path / "b.wav")
    for content in (b"", b"RIFF", b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00"):
        (tmp_path / "c.wav").write_bytes(content)
        with pytest.raises(ValueError, match="c.wav cannot be read as sound"):
            load_clip(tmp_path / "c.wav")
    wavfile.write(tmp_path / "d.wav", RATE, np.zeros(0, np.int16))
    with pytest.raises(ValueError, match="d.wav holds no sound"):
        load_clip(tmp_path / "d.wav")


def test_compressed_sound_without_pyav_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)  # as if it were not installed
    (tmp_path / "e.flac").write_bytes(b"x")
    with pytest.raises(ValueError, match="e.flac .*pip install av"):
        load_clip(tmp_path / "e.flac")


def test_images_that_cannot_be_read_are_named(tmp_path):
    for content in (b"", b"no image"):
        (tmp_path / "a.jpg").write_bytes(content)
        with pytest.raises(ValueError, match="a.jpg cannot be read as an image"):
            read_image(tmp_path / "a.jpg")
    red = np.zeros((20, 20, 3), np.uint8)
    red[..., 2] = 255
    cv2.imwrite(str(tmp_path / "red.png"), red)
    assert read_image(tmp_path / "red.png")[0, 0].tolist() == [255, 0, 0]


def test_test_sets_name_what_is_missing(tmp_path):
    (tmp_path / "list.csv").write_text("1\n2\n")
    labels = FlickrIndex(tmp_path / "list.csv", tmp_path / "5k_labeled" / "Annotations")
    folder = tmp_path / "5k_labeled" / "Data"
    places = (folder / "frames", ".jpg"), (folder / "audio", ".wav")
    with pytest.raises(FileNotFoundError, match="frames is missing"):
        FilesTest(labels, *places)
    for part in ("frames", "audio"):
        (folder / part).mkdir(parents=True)
    flickr = FilesTest(labels, *places, 32)
    assert "1.jpg is missing" in flickr[0]["error"]
    cv2.imwrite(str(folder / "frames" / "1.jpg"), np.zeros((9, 9, 3), np.uint8))
    assert "1.wav is missing" in flickr[0]["error"]
    wavfile.write(folder / "audio" / "1.wav", RATE, np.zeros(SAMPLES, np.int16))
    assert "1.xml is missing" in flickr[0]["error"]
    (tmp_path / "5k_labeled" / "Annotations").mkdir()
    box = "<bbox><n/><a>0</a><b>0</b><c>128</c><d>256</d></bbox>"
    (tmp_path / "5k_labeled" / "Annotations" / "1.xml").write_text(f"<r><o>{box}</o></r>")
    item = flickr[0]
    assert item["image"].shape == (3, 32, 32) and item["audio"].shape == (3, 1, 96, 64)
    assert item["gt_map"].mean() == 0.25  # one annotator of two, half the image

    for kind, shape in (("frames", (256, 256, 3)), ("spects", (3, 96, 64))):
        with hdf5_writer(tmp_path / f"h5py_test_{kind}.h5", f"test_{kind}", shape, np.float32, 3):
            pass
    (tmp_path / "boxes.json").write_text('[{"file": "1", "class": "dog", "bbox": [[0, 0, 1, 1]]}]')
    with pytest.raises(ValueError, match="3 rows but .*list.csv names 2 ids"):
        HDF5Test(labels, tmp_path, [tmp_path / "list.csv"])
    (tmp_path / "list.csv").write_text("1\n2\n3\n")
    with pytest.raises(ValueError, match="boxes.json has no boxes for 2"):
        VGGSSIndex(tmp_path / "list.csv", tmp_path / "boxes.json")
