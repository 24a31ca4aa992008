"""Contact sheets and PNG files."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np


def contact_sheet(tiles: Sequence[np.ndarray], columns: int, gap: int = 6) -> np.ndarray:
    """Images of one size in rows of `columns`, on white: list of (h, w, 3) uint8 -> (h', w', 3)."""
    height, width = tiles[0].shape[:2]
    rows = -(-len(tiles) // columns)
    columns = min(columns, len(tiles))
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def write_png(path: str | Path, image: np.ndarray) -> None:
    """(h, w, 3) uint8 RGB -> a file. Raises OSError where it cannot be written (cv2.imwrite only returns False)."""
    if not cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR)):
        raise OSError(f"{path} cannot be written: check the folder and the space left on the disk")
