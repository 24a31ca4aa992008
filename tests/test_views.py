"""The two views: what is drawn for them, and that workers and device make the same of it."""

import cv2
import h5py
import numpy as np
import pytest
import torch
from test_data import write_shard

from dataset.augment.on_cpu import ViewsOnCPU
from dataset.augment.on_device import ViewsOnDevice
from dataset.augment.parameters import AUGMENTATIONS, ORDERS, View, draw_views, view_of
from dataset.media.image import denormalise
from dataset.storage import cache
from dataset.storage.hdf5 import HDF5Array
from dataset.train_loader import TrainLoader
from dataset.train_set import FELZENSZWALB, TrainSet, open_arrays

SIZE, MARGIN = 224, 22
SIMSIAM = AUGMENTATIONS["simsiam"]
STILL = View(0, 0, 0, 0, 1, 1, 1, 0, 0, 0)  # nothing happens to the pixels


def on_cpu(frames, regions, draws, size=SIZE):
    """Views (B, 2, size, size, 3) uint8 and regions (B, 2, size, size), sample by sample."""
    pairs = [ViewsOnCPU(size)(*sample) for sample in zip(frames, draws, regions, strict=True)]
    return tuple(map(np.stack, zip(*pairs, strict=True)))


def on_device(frames, regions, draws, size=SIZE):
    """The same, as a batch."""
    views, labels = ViewsOnDevice(size)(*map(torch.from_numpy, (frames, draws, regions)))
    pictures = [[denormalise(picture) for picture in view] for view in views]
    return np.swapaxes(pictures, 0, 1), torch.stack(labels, 1)[:, :, 0].numpy()


def draws_of(*views):
    """(B, 2, 10): each view twice."""
    return np.repeat(np.array(views, np.float32)[:, None], 2, axis=1)


def coordinates_frame():
    """Red is the column, green the row: a view of it tells where each of its pixels came from."""
    frame = np.zeros((256, 256, 3), np.uint8)
    frame[..., 0], frame[..., 1] = np.arange(256), np.arange(256)[:, None]
    return frame


def photos(count):
    """Smooth coloured frames, (count, 256, 256, 3) uint8."""
    noise = np.random.default_rng(5).integers(0, 256, (count, 256, 256, 3)).astype(np.float32)
    smooth = [cv2.GaussianBlur(frame, (0, 0), 9) for frame in noise]
    return np.stack([cv2.normalize(frame, None, 0, 255, cv2.NORM_MINMAX) for frame in smooth]).astype(np.uint8)


def test_draws_follow_the_stated_distributions():
    n = 20_000
    view = View(*draw_views(np.random.default_rng(0).random((n, 12)), MARGIN, SIMSIAM).T)
    jittered = view.hue != 0
    for happened, p in ((view.flipped, 0.5), (jittered, 0.8), (view.grey, 0.2), (view.sigma > 0, 0.5)):
        assert abs(happened.mean() - p) < 4 * (p * (1 - p) / n) ** 0.5
    for corner in (view.top, view.left):
        counts = np.bincount(corner.astype(int), minlength=MARGIN + 1)
        assert len(counts) == MARGIN + 1 and abs(counts / n - 1 / 23).max() < 0.01
    assert abs(np.bincount(view.order.astype(int)) / n - 1 / 24).max() < 0.01 and len(ORDERS) == 24
    ranges = [(view.brightness[jittered], 0.6, 1.4), (view.contrast[jittered], 0.6, 1.4)]
    ranges += [(view.saturation[jittered], 0.6, 1.4), (view.hue[jittered], -0.1, 0.1)]
    for values, low, high in [*ranges, (view.sigma[view.sigma > 0], 0.1, 2)]:
        width = high - low
        assert low <= values.min() < low + 0.01 * width and high - 0.01 * width < values.max() <= high + 1e-6
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.02 * width)
        assert values.std() == pytest.approx(width / 12**0.5, rel=0.03)  # uniform
    for factors in (view.brightness, view.contrast, view.saturation):
        assert (factors[~jittered] == 1).all()
    assert abs(np.corrcoef([view.top, view.left, view.flipped, view.order, view.sigma]) - np.eye(5)).max() < 0.03


@pytest.mark.parametrize("make", [on_cpu, on_device])
def test_regions_follow_the_view_exactly(make):
    frame = coordinates_frame()
    regions = (np.arange(256) // 16 * 16 + np.arange(256)[:, None] // 128).astype(np.uint8)
    corners = [(0, 0), (22, 22), (3, 19), (11, 7)]
    draws = draws_of(*(STILL._replace(top=top, left=left, flipped=flip) for top, left in corners for flip in (0, 1)))
    views, labels = make(np.stack([frame] * 8), np.stack([regions] * 8), draws)
    assert labels.dtype == np.uint8 and set(np.unique(labels)) <= set(np.unique(regions))
    for pixels, label, (row, _) in zip(views.astype(int), labels, draws, strict=True):
        view, pixels = view_of(row), pixels[0]
        columns = pixels[100, :, 0]
        assert (columns[0] > columns[-1]) == bool(view.flipped)
        left, top = (view.left + 0.5) * 256 / 246 - 0.5, (view.top + 0.5) * 256 / 246 - 0.5
        assert abs(columns.min() - max(left, 0)) <= 1 and abs(pixels[0, 0, 1] - max(top, 0)) <= 1
        inner = (pixels[..., 0] % 16 > 1) & (pixels[..., 0] % 16 < 14) & (abs(pixels[..., 1] - 127.5) > 2)
        assert (label[0] == pixels[..., 0] // 16 * 16 + pixels[..., 1] // 128)[inner].all() and inner.mean() > 0.5


@pytest.mark.parametrize("size", [224, 64])
def test_workers_and_device_make_the_same_views(size):
    frames = photos(24)
    regions = np.random.default_rng(1).integers(0, 60, (24, 256, 256)).astype(np.uint8)
    margin = int(size * 1.1) - size
    draws = draw_views(np.random.default_rng(2).random((24, 2, 12)), margin, SIMSIAM)
    views, labels = on_cpu(frames, regions, draws, size)
    batch_views, batch_labels = on_device(frames, regions, draws, size)
    assert np.array_equal(labels, batch_labels)
    difference = np.abs(views.astype(int) - batch_views)
    assert difference.mean() < 0.7 and np.percentile(difference, 99.9) <= 6  # a rounding after each step, or at the end


@pytest.mark.parametrize("make", [on_cpu, on_device])
def test_colours_change_as_drawn(make):
    red = np.full((256, 256, 3), (200, 20, 20), np.uint8)
    half = np.zeros((256, 256, 3), np.uint8)
    half[:, 128:] = 100

    def one(frame, **change):
        draws = draws_of(STILL._replace(**change))
        return make(frame[None], np.zeros((1, 8, 8), np.uint8), draws)[0][0, 0].astype(int)

    assert abs(one(red, brightness=1.2) - (240, 24, 24)).max() <= 1
    assert abs(one(red, brightness=0.6) - (120, 12, 12)).max() <= 1
    assert abs(one(half, contrast=0.6, left=11)[:, :90] - 20).max() <= 1  # 0.4 of the mean grey, 50
    assert abs(one(half, contrast=0.6, left=11)[:, -90:] - 80).max() <= 1
    grey = 0.299 * 200 + 0.701 * 20
    assert abs(one(red, saturation=0.6) - (0.6 * 200 + 0.4 * grey, *[0.6 * 20 + 0.4 * grey] * 2)).max() <= 1
    assert abs(one(red, grey=1) - grey).max() <= 1
    for hue in (-0.1, 0.1):
        turned = cv2.cvtColor(one(red, hue=hue).astype(np.float32) / 255, cv2.COLOR_RGB2HSV)[0, 0, 0] / 360
        assert (turned + 0.5) % 1 - 0.5 == pytest.approx(hue, abs=0.004)
    first, last = ORDERS.index((0, 1, 2, 3)), ORDERS.index((1, 2, 3, 0))
    before = one(half, brightness=1.4, contrast=0.6, order=first, left=11)  # 140, mean 70: 112
    after = one(half, brightness=1.4, contrast=0.6, order=last, left=11)  # 80: 112; the dark half: 28 and 28
    assert abs(before[:, -90:] - 112).max() <= 1 and abs(after[:, -90:] - 112).max() <= 1
    dot = np.zeros((256, 256, 3), np.uint8)
    dot[100:140, 100:140] = 255
    for sigma in (0.1, 0.5, 1.0, 2.0):
        sharp, blurred = (one(dot, sigma=value).astype(np.float32) for value in (0, sigma))
        expected = cv2.GaussianBlur(sharp.round().astype(np.uint8), (0, 0), sigma)
        assert abs(blurred - expected).max() <= 2


@pytest.fixture
def folder(tmp_path):
    """Six training rows with stored regions in two shards."""
    for shard, first in (("144k_1", 0), ("144k_2", 3)):
        write_shard(tmp_path, shard, 3, first, kinds=("frames", "spects", "masks"))
    return tmp_path


def batches(folder, workers=0, kept=False, regions=FELZENSZWALB, **options):
    cpu = torch.device("cpu")
    arrays = open_arrays(folder, regions=regions)
    data = TrainSet(arrays.keep(cpu) if kept else arrays, size=32, **options)
    loader = TrainLoader(data, 2, 7, workers, cpu)
    loader.start(1)
    return list(loader)


@pytest.mark.parametrize("regions", [FELZENSZWALB, 2, None])
def test_caches_and_who_augments_change_nothing_else(folder, regions):
    plain = batches(folder, regions=regions)
    assert sorted(torch.cat([batch["index"] for batch in plain]).tolist()) == list(range(6))
    assert all(("regions" in batch) == (regions is not None) for batch in plain)
    for workers, kept, device in ((1, False, False), (0, True, False), (1, True, False), (1, False, True),
                                  (0, True, True), (1, True, True)):  # fmt: skip
        other = batches(folder, workers, kept, regions=regions, on_device=device)
        for one, two in zip(plain, other, strict=True):
            assert torch.equal(one["index"], two["index"]) and torch.equal(one["audio"], two["audio"])
            assert one.keys() == two.keys()
            for name in one.keys() & {"regions", "views"}:
                assert all(a.shape == b.shape and a.dtype == b.dtype for a, b in zip(one[name], two[name], strict=True))
            pairs = zip(one.get("regions", []), two.get("regions", []), strict=True)
            assert all(torch.equal(a, b) for a, b in pairs)
            far = max(float((a - b).abs().max()) for a, b in zip(one["views"], two["views"], strict=True))
            assert far < 0.02 if device else far == 0  # less than a grey level


def test_memory_holds_regions_that_no_file_has(folder):
    for path in folder.glob("*masks*"):
        path.unlink()
    frame = np.zeros((256, 256, 3), np.uint8)
    frame[:, 128:] = 200
    with h5py.File(folder / "h5py_train_frames_144k_2.h5", "r+") as file:
        file["train_frames"][...] = frame
    kept = open_arrays(folder).keep(torch.device("cpu"))
    assert not list(folder.glob("*masks*")) and isinstance(kept.regions, cache.MemoryArray)
    assert len(kept.regions.take([3])[0].unique()) == 2


def test_auto_keeps_what_fits_into_half_of_what_is_free(monkeypatch, folder):
    cpu = torch.device("cpu")
    monkeypatch.setattr(cache, "free_memory", lambda: 1000)
    assert cache.choose_cache("auto", 500, cpu) == "ram" and cache.choose_cache("auto", 501, cpu) == "none"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert cache.choose_cache("auto", 500, cpu) == "none" and cache.choose_cache("auto", 125, cpu) == "ram"
    assert cache.choose_cache("none", 1, cpu) == "none" and cache.choose_cache("ram", 9999, cpu) == "ram"
    monkeypatch.undo()
    assert 0 <= cache.free_memory() < 1e14
    arrays = open_arrays(folder)
    assert arrays.bytes == 6 * (256 * 256 * 4 + 3 * 96 * 64 * 4)
    assert open_arrays(folder, regions=2).bytes == open_arrays(folder, regions=None).bytes == 6 * (256**2 * 3 + 73728)
    kept = [rows for rows, _ in arrays.keep(cpu).stored().values()]
    assert sum(rows.tensor.numel() * rows.tensor.element_size() for rows in kept) == arrays.bytes and len(kept) == 3
    assert isinstance(arrays.frames, HDF5Array)  # keep returns others
