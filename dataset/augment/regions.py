"""Region maps: label maps of the regions of a frame, without any training (SACL, step 1)."""

import numpy as np
from skimage.segmentation import felzenszwalb


def felzenszwalb_regions(frame: np.ndarray) -> np.ndarray:
    """Felzenszwalb-Huttenlocher segments of a frame, with SACL's settings.

    frame: (256, 256, 3) uint8 RGB. Returns (256, 256) uint8 labels from 0; min_size 1000 allows at most 65 of them.
    """
    return felzenszwalb(frame, scale=1000, sigma=0.5, min_size=1000).astype(np.uint8)


def grid_regions(size: int, grid: int, rng: np.random.Generator) -> np.ndarray:
    """A grid x grid chessboard of randomly permuted labels 0 ... grid^2 - 1 (the paper's ablation).

    size: side of the map in pixels; rng: numpy.random.Generator. Returns (size, size) uint8. Rows and columns
    that are left over when grid does not divide size belong to the last cell.
    """
    labels = rng.permutation(grid * grid).reshape(grid, grid).astype(np.uint8)
    cell = np.minimum(np.arange(size) // (size // grid), grid - 1)
    return labels[cell[:, None], cell]
