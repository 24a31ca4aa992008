"""python -m utils.speed data: samples/s of one core, from HDF5 files to two augmented views with regions and
spectrogram, by the published procedure and by this loader; and clips/s of preparing clips, with the share of decoding.
"""

import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from dataset.augment.regions import felzenszwalb_regions
from dataset.demo.scenes import make_scene
from dataset.media.audio import read_sound
from dataset.media.image import read_image
from dataset.media.video import middle_frame
from dataset.prepare.clips import list_clips, read_clip
from dataset.prepare.rows import FRAME_FORMATS, TRAIN_KINDS, RowWriter, array_paths, make_row
from dataset.train_loader import TrainLoader
from dataset.train_set import TrainSet
from models.losses import SACLLoss
from models.resnet import FrameNet
from models.sacl import SACL, SACLObjective
from models.vggish import SoundNet
from utils.speed import timing
from utils.speed.published import PublishedProcedure
from utils.speed.timing import alternate, one_thread, timed
from utils.training.precision import choose_precision

ROWS, BATCH = 64, 32


def benchmark_data(clips=None):
    """Prints the table of `data`."""
    with tempfile.TemporaryDirectory() as folder, one_thread():
        folders = write_sets(Path(folder))
        published = PublishedProcedure(folders["float32"])
        cases = {"published procedure, float32 files": published.__getitem__}
        for frame_format in FRAME_FORMATS:
            cases[f"this loader, {frame_format} files"] = batch_by_batch(TrainSet(folders[frame_format]))
        cached = TrainSet(folders["uint8"])
        cached.keep("ram", torch.device("cpu"))
        cases["this loader, kept in memory"] = batch_by_batch(cached)
        raw = TrainSet(folders["uint8"], on_device=True)
        cases["this loader, views left to the device"] = batch_by_batch(raw, views=False)
        seconds = alternate(cases, ROWS)
        first = next(iter(seconds.values()))
        print(f"one core of {platform.machine()}, medians of {timing.ROUNDS} rounds of {ROWS} samples")
        print(f"{'':38} {'ms a sample':>12} {'samples/s':>10} {'ratio':>7}")
        for name, value in seconds.items():
            print(f"{name:38} {1000 * value:12.2f} {1 / value:10.1f} {first / value:7.1f}")
        frames = [make_scene(np.random.default_rng(i)).frame for i in range(16)]
        print(f"Felzenszwalb regions: {1 / timed(lambda i: felzenszwalb_regions(frames[i]), 16):.1f} maps/s")
        if clips:
            found = list_clips(clips)[0]
            whole = timed(lambda i: read_clip(found[i]), len(found))
            decoding = timed(lambda i: decode(found[i]), len(found))
            print(f"preparation: {1 / whole:.1f} clips/s, {decoding / whole:.0%} of it decoding ({len(found)} clips)")


def benchmark_waiting(device, batch=256, steps=12, size=224):
    """Prints how much of a training step a device waits for its data, for each way of keeping the set."""
    workers = min(16, os.cpu_count() or 1)
    model = SACL(FrameNet(), SoundNet()).to(device, memory_format=torch.channels_last)
    objective, optimizer = SACLObjective(SACLLoss()), torch.optim.AdamW(model.parameters(), fused=True)
    precision = choose_precision("auto", device)
    print(f"{device}, {workers} workers, batches of {batch}, {steps} steps: ms a step, waiting for data")
    with tempfile.TemporaryDirectory() as folder:
        folders = write_sets(Path(folder), rows=(steps + 2) * batch)
        for frame_format, kept in [*((name, "none") for name in FRAME_FORMATS), ("uint8", "ram"), ("uint8", "device")]:
            data = TrainSet(folders[frame_format], size, on_device=True)
            data.keep(kept, device)
            loader = TrainLoader(data, batch, 0, workers, device)
            batches, waited = cycle_over(loader), 0.0
            for step in range(steps + 2):
                if step == 2:  # the workers have started, the kernels are chosen
                    read_clock(device)
                    started = time.perf_counter()
                asked = time.perf_counter()
                one = next(batches)
                waited += (time.perf_counter() - asked) if step >= 2 else 0.0
                with torch.autocast(device.type, precision, enabled=precision != torch.float32):
                    outputs = model(one["views"], one["spect"])
                optimizer.zero_grad()
                objective(outputs, one["regions"]).backward()
                optimizer.step()
                read_clock(device)  # else the waiting would hide behind the queue of work
            seconds = (time.perf_counter() - started) / steps
            place = {"none": f"{frame_format} files"}.get(kept, f"kept: {kept}")
            print(f"{place:16} {1000 * seconds:9.1f} {waited / steps / seconds:7.1%}")


def read_clock(device):
    """Waits until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def batch_by_batch(train_set, views=True):
    """What a step gets, as a function of a sample's number: every BATCH-th call makes BATCH samples, ready to train on.

    views: with the views; else what a worker hands to a device that makes them.
    """
    loader = TrainLoader(train_set, min(BATCH, ROWS), 0, 0, torch.device("cpu"))
    batches = cycle_over(loader if views else loader.loader)
    return lambda index: next(batches) if index % min(BATCH, ROWS) == 0 else None


def cycle_over(loader):
    """Epoch after epoch. (itertools.cycle would keep and repeat the first one's batches.)"""
    while True:
        yield from loader


def decode(clip):
    """The part of read_clip that reads files."""
    if clip.video:
        middle_frame(clip.video)
    else:
        read_image(clip.frames[len(clip.frames) // 2], upright=True)
    read_sound(clip.video or clip.sound)


def write_sets(folder, rows=None):
    """Training sets of ROWS drawn scenes (repeated where more `rows` are wanted), one a frame format; returns their
    folders by format."""
    folders = {name: folder / name for name in FRAME_FORMATS}
    scenes = [make_scene(np.random.default_rng(i)) for i in range(ROWS)]
    scenes = [make_row(scene.frame, scene.waveform, with_mask=True) for scene in scenes]
    for name, path in folders.items():
        with RowWriter(array_paths(path, "train", TRAIN_KINDS, "_10k"), "train", frame_format=name) as writer:
            for row in range(rows or ROWS):
                writer.add(scenes[row % ROWS])
    return folders
