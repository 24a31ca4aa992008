"""Writes the demo set: drawn scenes in which one thing sounds, in the files and folders of the real data."""

import json
import os
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import cv2
import numpy as np
from scipy.io import wavfile
from tqdm import tqdm

from dataset.demo.scenes import CLASSES, SIZE, make_scene
from dataset.media.audio import RATE
from dataset.prepare.rows import TEST_KINDS, RowWriter, array_paths, make_row
from dataset.storage.parallel import map_in_order

TRAIN, TEST = 0, 1  # splits, part of a scene's seed


def generate(root, num_train=640, num_test=160, seed=0, workers=None):
    """Writes the demo set into the new folder root: SoundNet_Flickr (train and test) and VGG-Sound (the same test).

    Classes take turns to sound. The files depend on seed only, not on the number of worker processes (None: one a
    core). Raises FileExistsError if root exists; root appears when the set is complete.
    """
    root = Path(root)
    if root.exists():
        raise FileExistsError(f"{root} exists already: choose another folder, or remove this one to generate it anew")
    partial = root.with_name(root.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was interrupted
    flickr, vggsound = partial / "SoundNet_Flickr", partial / "VGG-Sound"
    jobs = [(seed, TRAIN, i) for i in range(num_train)] + [(seed, TEST, i) for i in range(num_test)]

    scenes = map_in_order(_make_item, jobs, os.cpu_count() if workers is None else workers)
    results = iter(tqdm(scenes, "demo scenes", len(jobs), unit="scene"))
    _write_train(flickr / "10k_unlabeled", results, num_train)
    _write_test(flickr, vggsound, results, num_test)
    os.replace(partial, root)


def _make_item(job):
    """A scene and its row; runs in a worker process."""
    seed, split, index = job
    scene = make_scene(np.random.default_rng([seed, split, index]), CLASSES[index % len(CLASSES)])
    return scene, make_row(scene.frame, scene.waveform, with_mask=False)


def _write_train(folder, results, count):
    """The next count results as HDF5 files. Region maps are stored when they are first needed, see train_set.py."""
    with RowWriter(array_paths(folder, "train", TEST_KINDS, "_10k"), "train") as writer:
        for _ in range(count):
            writer.add(next(results)[1])


def _write_test(flickr, vggsound, results, count):
    """The next count results, once as files of their own (Flickr) and once as HDF5 files (VGG-Sound)."""
    labeled = flickr / "5k_labeled"
    for folder in ("Annotations", "Data/audio", "Data/frames"):
        (labeled / folder).mkdir(parents=True, exist_ok=True)
    ids, entries = [f"demo_{i:04d}" for i in range(count)], []
    with RowWriter(array_paths(vggsound / "5k_labeled" / "Data", "test", TEST_KINDS), "test") as writer:
        for key in ids:
            scene, row = next(results)
            writer.add(row)
            _write_xml(labeled / f"Annotations/{key}.xml", scene)
            samples = np.round(scene.waveform * 32767).astype(np.int16)
            wavfile.write(labeled / f"Data/audio/{key}.wav", RATE, samples)
            picture = cv2.cvtColor(scene.frame, cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(labeled / f"Data/frames/{key}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
            entries.append({"file": key, "class": scene.sounding, "bbox": [scene.box], "silent": scene.silent})
    annotations = vggsound / "5k_labeled/Annotations/vggss_test_5158.json"
    annotations.parent.mkdir(parents=True, exist_ok=True)
    annotations.write_text(json.dumps(entries, indent=1))
    for path in (flickr / "flickr_test249_in5k.csv", vggsound / "vggss_test_4692.csv"):
        path.write_text("".join(f"{key}\n" for key in ids))


def _write_xml(path, scene):
    """The sounding box as drawn by two annotators who agree, in pixels of a 256 x 256 frame."""
    tree = ET.Element("annotation")
    for _ in range(2):
        bbox = ET.SubElement(ET.SubElement(tree, "object"), "bbox")
        ET.SubElement(bbox, "name").text = scene.sounding
        for edge, value in zip(("xmin", "ymin", "xmax", "ymax"), scene.box, strict=True):
            ET.SubElement(bbox, edge).text = str(round(value * SIZE))
    ET.indent(tree)
    ET.ElementTree(tree).write(path)
