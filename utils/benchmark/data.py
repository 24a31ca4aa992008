"""python -m utils.benchmark data: samples/s of one core, from HDF5 files to two augmented views with regions and
spectrogram, by the published procedure and by this loader; and clips/s of preparing clips, with the share of decoding.
"""

import platform
import tempfile
from pathlib import Path

import h5py
import numpy as np
import torch
from PIL import Image, ImageFilter
from skimage.segmentation import felzenszwalb

from dataset.audio import read_sound
from dataset.demo_scenes import make_scene
from dataset.prepare.clips import find_clips, read_clip
from dataset.prepare.rows import FRAME_FORMATS, TEST_KINDS, TRAIN_KINDS, RowWriter, array_paths, make_row
from dataset.regions import felzenszwalb_regions
from dataset.train_set import TrainSet, path_of
from dataset.transforms import read_image
from dataset.video import middle_frame
from models.torchvision_ops import torchvision
from utils.benchmark import timing
from utils.benchmark.timing import alternate, one_thread, timed

ROWS = 64


def benchmark_data(clips=None):
    """Prints the table of `data`."""
    with tempfile.TemporaryDirectory() as folder, one_thread():
        folders = write_sets(Path(folder))
        published = PublishedProcedure(folders["float32"])
        cases = {"published procedure, float32 files": published.__getitem__}
        for frame_format in FRAME_FORMATS:
            data = TrainSet(folders[frame_format], size=224)
            cases[f"this loader, {frame_format} files"] = data.__getitem__
        seconds = alternate(cases, ROWS)
        first = next(iter(seconds.values()))
        print(f"one core of {platform.machine()}, medians of {timing.ROUNDS} rounds of {ROWS} samples")
        print(f"{'':36} {'ms a sample':>12} {'samples/s':>10} {'ratio':>7}")
        for name, value in seconds.items():
            print(f"{name:36} {1000 * value:12.2f} {1 / value:10.1f} {first / value:7.1f}")
        frames = [make_scene(np.random.default_rng(i)).frame for i in range(16)]
        print(f"Felzenszwalb regions: {1 / timed(lambda i: felzenszwalb_regions(frames[i]), 16):.1f} maps/s")
        if clips:
            found = find_clips(clips)[0]
            whole = timed(lambda i: read_clip(found[i]), len(found))
            decoding = timed(lambda i: decode(found[i]), len(found))
            print(f"preparation: {1 / whole:.1f} clips/s, {decoding / whole:.0%} of it decoding ({len(found)} clips)")


def decode(clip):
    """The part of read_clip that reads files."""
    if clip.video:
        middle_frame(clip.video)
    else:
        read_image(clip.frames[len(clip.frames) // 2], upright=True)
    read_sound(clip.video or clip.sound)


def write_sets(folder):
    """Training sets of drawn scenes, one a frame format; returns their folders by format."""
    folders = {name: folder / name for name in FRAME_FORMATS}
    scenes = (make_scene(np.random.default_rng(i)) for i in range(ROWS))
    rows = [make_row(scene.frame, scene.waveform, with_mask=True) for scene in scenes]
    for name, path in folders.items():
        with RowWriter(array_paths(path, "train", TRAIN_KINDS, "_10k"), "train", frame_format=name) as writer:
            for row in rows:
                writer.add(row)
    return folders


class PublishedProcedure:
    """What the published program does for a sample, done straightforwardly: three files opened, Felzenszwalb on the
    frame, and three augmented views (of which it uses two) with their region maps, by Pillow.
    """

    def __init__(self, folder):
        self.paths = {kind: path_of(folder, kind, "10k") for kind in TEST_KINDS}
        self.to_tensor = torchvision.transforms.Compose(
            [
                torchvision.transforms.ToTensor(),
                torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )
        self.jitter = torchvision.transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)

    def __getitem__(self, index):
        row = {}
        for kind, path in self.paths.items():
            with h5py.File(path) as file:
                row[kind] = file[f"train_{kind}"][index]
        frame = row["frames"].astype(np.uint8)
        labels = felzenszwalb(frame, scale=1000, sigma=0.5, min_size=1000).astype(np.uint8)
        views = [self.view(Image.fromarray(frame), Image.fromarray(labels)) for _ in range(3)]
        return views[:2], torch.from_numpy(row["spects"])

    def view(self, image, labels):
        image, labels = (one.resize((246, 246), Image.BICUBIC) for one in (image, labels))
        left, top = np.random.randint(0, 23, 2)
        image, labels = (one.crop((left, top, left + 224, top + 224)) for one in (image, labels))
        if np.random.random() < 0.5:
            image, labels = (one.transpose(Image.FLIP_LEFT_RIGHT) for one in (image, labels))
        if np.random.random() < 0.8:
            image = self.jitter(image)
        if np.random.random() < 0.2:
            image = image.convert("L").convert("RGB")
        if np.random.random() < 0.5:
            image = image.filter(ImageFilter.GaussianBlur(np.random.uniform(0.1, 2.0)))
        return self.to_tensor(image), torch.from_numpy(np.array(labels))
