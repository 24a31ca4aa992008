"""What is drawn for an augmented view of a frame. The two ways of making views, on the CPU (on_cpu.py) and on the
device (on_device.py), get the same numbers."""

from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

import numpy as np

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)  # the steps of the colour jitter
ORDERS = tuple(permutations(range(4)))


@dataclass(frozen=True)
class Augmentation:
    """Probabilities and strengths of an augmentation.

    crop: the frame is enlarged to crop x size, then size x size pixels are cut out. flip, jitter, grey, blur:
    probabilities. brightness, contrast, saturation: factors from U(1 - x, 1 + x). hue: U(-x, x) turns of the colour
    circle. sigma: range of the Gaussian blur's sigma, in pixels.
    """

    crop: float = 1.1
    flip: float = 0.5
    jitter: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    grey: float = 0.2
    blur: float = 0.5
    sigma: tuple[float, float] = (0.1, 2.0)


AUGMENTATIONS = {
    "simsiam": Augmentation(),  # SACL (Chen and He, "Exploring simple Siamese representation learning", CVPR 2021)
    "crop_and_flip": Augmentation(jitter=0, grey=0, blur=0),  # SSPL, EZ-VSL
}


class Draws(NamedTuple):
    """Independent numbers from U[0, 1), one of each for a view, in this order."""

    top: float
    left: float
    flip: float
    order: float
    jitter: float
    brightness: float
    contrast: float
    saturation: float
    hue: float
    grey: float
    blur: float
    sigma: float


class View(NamedTuple):
    """What happens to a view: numbers, or arrays of them. What does not happen has the value that changes nothing."""

    top: float  # row and column of the crop's corner in the enlarged frame, whole pixels from U{0, ..., margin}
    left: float
    flipped: float  # 1: mirrored left to right, after the crop
    order: float  # of the jitter's steps: ORDERS[order], uniform
    brightness: float  # factors
    contrast: float
    saturation: float
    hue: float  # turns of the colour circle
    grey: float  # 1: without colours
    sigma: float  # of the Gaussian blur, in pixels; 0: none


def draw_views(uniform: np.ndarray, margin: int, augmentation: Augmentation) -> np.ndarray:
    """Random numbers to views.

    uniform: (..., 12), the fields of Draws along the last axis. margin: by how many pixels the enlarged frame is larger
    than the view. Returns (..., 10) float32, the fields of View along the last axis.
    """
    u, a = Draws(*np.moveaxis(uniform, -1, 0)), augmentation
    jittered = u.jitter < a.jitter
    view = View(
        top=np.floor(u.top * (margin + 1)),
        left=np.floor(u.left * (margin + 1)),
        flipped=u.flip < a.flip,
        order=np.floor(u.order * len(ORDERS)),
        brightness=np.where(jittered, 1 - a.brightness + 2 * a.brightness * u.brightness, 1),
        contrast=np.where(jittered, 1 - a.contrast + 2 * a.contrast * u.contrast, 1),
        saturation=np.where(jittered, 1 - a.saturation + 2 * a.saturation * u.saturation, 1),
        hue=np.where(jittered, -a.hue + 2 * a.hue * u.hue, 0),
        grey=u.grey < a.grey,
        sigma=np.where(u.blur < a.blur, a.sigma[0] + (a.sigma[1] - a.sigma[0]) * u.sigma, 0),
    )
    return np.stack(view, axis=-1).astype(np.float32)


def view_of(row: np.ndarray) -> View:
    """One row of draw_views, (10,), as a View of plain numbers."""
    return View(*row.tolist())
