"""What is drawn by chance for a view of a frame: SimSiam's augmentation, as in SACL, or its crop and flip alone, as in
SSPL. The CPU's and the device's way of making views (transforms.py, batch_views.py) get the same numbers, and so follow
the same distributions."""

from itertools import permutations
from typing import NamedTuple

import numpy as np

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)  # the steps of the colour jitter
ORDERS = tuple(permutations(range(4)))


class View(NamedTuple):
    """A view: numbers, or arrays of them, one a view. What does not happen to it has the value that changes nothing."""

    top: float  # row and column of the crop's corner in the enlarged frame, whole pixels from U{0, ..., margin}
    left: float
    flipped: float  # 1 with p 0.5: mirrored left to right, after the crop
    order: float  # in which the jitter's steps come: ORDERS[order], uniform
    brightness: float  # p 0.8 for all four together: factors U(0.6, 1.4)
    contrast: float
    saturation: float
    hue: float  # U(-0.1, 0.1) turns of the colour circle
    grey: float  # 1 with p 0.2
    sigma: float  # of the Gaussian blur, in pixels: U(0.1, 2) with p 0.5, else 0


def draw_views(uniform, margin, photometric=True):
    """Numbers from U[0, 1) to views: (..., 12) -> (..., 10) float32, the fields of View along the last axis.

    margin: by how many pixels the enlarged frame is larger than the view. photometric: False keeps the colours, and
    does not blur.
    """
    top, left, flip, order, jitter, brightness, contrast, saturation, hue, grey, blur, sigma = np.moveaxis(
        uniform, -1, 0
    )
    jittered = (jitter < 0.8) & photometric
    view = View(
        top=np.floor(top * (margin + 1)),
        left=np.floor(left * (margin + 1)),
        flipped=flip < 0.5,
        order=np.floor(order * len(ORDERS)),
        brightness=np.where(jittered, 0.6 + 0.8 * brightness, 1),
        contrast=np.where(jittered, 0.6 + 0.8 * contrast, 1),
        saturation=np.where(jittered, 0.6 + 0.8 * saturation, 1),
        hue=np.where(jittered, -0.1 + 0.2 * hue, 0),
        grey=(grey < 0.2) & photometric,
        sigma=np.where((blur < 0.5) & photometric, 0.1 + 1.9 * sigma, 0),
    )
    return np.stack(view, axis=-1).astype(np.float32)


def view_of(draws):
    """One row of draw_views, (10,), as a View of plain numbers."""
    return View(*draws.tolist())
