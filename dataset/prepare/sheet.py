"""A contact sheet of a training set: python -m dataset.prepare sheet DATASETS --trainset NAME --out FILE.png"""

from pathlib import Path

import cv2
import numpy as np

from dataset.media.pictures import contact_sheet, write_png
from dataset.storage.hdf5 import HDF5Array
from dataset.storage.layout import FRAME, SPECT, find_shards, path_of

TILE = 192  # side of a frame on the sheet, pixels
PER_ROW = 2


def save_sheet(folder: Path, path: str | Path, count: int = 24) -> int:
    """Writes a PNG of `count` evenly spaced rows of a training folder: frame, regions, log-mel spectrogram (bright:
    loud; time to the right, frequency upwards). Returns the number of rows shown.
    """
    shards = find_shards(folder)
    frames = HDF5Array([path_of(folder, "frames", shard) for shard in shards], "train_frames", FRAME)
    spects = HDF5Array([path_of(folder, "spects", shard) for shard in shards], "train_spects", SPECT)
    masks = None
    if path_of(folder, "masks", shards[0]).is_file():
        masks = HDF5Array([path_of(folder, "masks", shard) for shard in shards], "train_masks", FRAME[:2])
    rows = np.unique(np.linspace(0, len(frames) - 1, min(count, len(frames))).astype(int))
    tiles = []
    for row in rows:
        frame = frames[row].astype(np.uint8)
        parts = [frame] if masks is None else [frame, colour_regions(frame, masks[row])]
        parts = [cv2.resize(part, (TILE, TILE), interpolation=cv2.INTER_AREA) for part in parts]
        strip = np.hstack([*parts, picture_of_sound(spects[row])])
        cv2.putText(strip, str(row), (4, TILE - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
        tiles.append(strip)
    write_png(path, contact_sheet(tiles, PER_ROW))
    return len(rows)


def colour_regions(frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A frame under the colours of its regions: (h, w, 3) uint8, (h, w) uint8 labels -> (h, w, 3) uint8."""
    hues = (mask.astype(int) * 47 % 180).astype(np.uint8)  # 47: neighbours in number lie far apart in colour
    flat = cv2.cvtColor(np.dstack([hues, np.full_like(hues, 200), np.full_like(hues, 230)]), cv2.COLOR_HSV2RGB)
    return cv2.addWeighted(frame, 0.45, flat, 0.55, 0)


def picture_of_sound(spect: np.ndarray) -> np.ndarray:
    """Log-mel patches (3, 96, 64) as a picture (TILE, 2 TILE, 3) uint8."""
    loudness = spect.reshape(-1, spect.shape[-1]).T[::-1].astype(np.float32)
    low, high = loudness.min(), loudness.max()
    levels = ((loudness - low) / max(high - low, 1e-6) * 255).astype(np.uint8)
    picture = cv2.applyColorMap(np.ascontiguousarray(levels), cv2.COLORMAP_MAGMA)[..., ::-1]
    return cv2.resize(np.ascontiguousarray(picture), (2 * TILE, TILE), interpolation=cv2.INTER_NEAREST)
