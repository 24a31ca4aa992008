"""The views of training on the CPU, by OpenCV."""

import cv2
import numpy as np

from dataset.augment.parameters import BRIGHTNESS, CONTRAST, HUE, ORDERS, SATURATION, view_of
from dataset.media.image import resize


class ViewsOnCPU:
    """Augmented views of a frame, each with its region map, by OpenCV on uint8; parameters.py says what is drawn.

    Each view: enlarge, crop, flip, colour jitter, grey, Gaussian blur. Regions follow the geometry, by nearest
    neighbour, so that no label is blended into another. (torchvision.transforms.v2 does the same in 20 ms a sample,
    this in 2.2: one core, two views, 224 pixels.)
    """

    def __init__(self, size: int, crop: float = 1.1):
        self.size, self.large = size, int(size * crop)

    def __call__(self, frame: np.ndarray, draws: np.ndarray, regions: np.ndarray | None = None):
        """Args:
            frame: (h, w, 3) uint8 RGB. draws: (views, 10), see View. regions: (h', w') integer labels of the scene.

        Returns:
            (views, size, size, 3) uint8, and the views' regions, (views, size, size) of the same type as the whole, or
            None.
        """
        enlarged = resize(frame, self.large)
        views = [view_of(row) for row in draws]
        pictures = np.stack([self._picture(enlarged, view) for view in views])
        return pictures, None if regions is None else np.stack([self._crop_regions(regions, view) for view in views])

    def _picture(self, enlarged, view):
        top, left = int(view.top), int(view.left)
        image = enlarged[top : top + self.size, left : left + self.size]
        image = cv2.flip(image, 1) if view.flipped else image  # NumPy's [:, ::-1] takes twenty times as long to copy
        image = colour_jitter(image, view)
        if view.grey:
            image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        if view.sigma:
            image = cv2.GaussianBlur(image, (0, 0), view.sigma)
        return image

    def _crop_regions(self, regions, view):
        rows, columns = (
            ((np.arange(first, first + self.size) + 0.5) * length // self.large).astype(int)
            for first, length in zip((view.top, view.left), regions.shape, strict=True)
        )
        return regions[rows][:, columns[::-1] if view.flipped else columns]


def colour_jitter(image, view):
    """Brightness, contrast, saturation and hue of an image (h, w, 3) uint8 RGB, in the view's order."""
    for step in ORDERS[int(view.order)]:
        if step == BRIGHTNESS and view.brightness != 1:
            image = _blend(image, 0.0, view.brightness)
        elif step == CONTRAST and view.contrast != 1:
            grey = cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0]
            image = _blend(image, round(grey), view.contrast)
        elif step == SATURATION and view.saturation != 1:
            grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
            image = cv2.addWeighted(image, view.saturation, grey, 1 - view.saturation, 0)
        elif step == HUE and view.hue != 0:
            turn = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)  # hue 0 ... 255 is a whole turn, and wraps
            turn[..., 0] += np.uint8(round(view.hue * 255) % 256)
            image = cv2.cvtColor(turn, cv2.COLOR_HSV2RGB_FULL)
    return image


def _blend(image, grey, factor):
    """factor * image + (1 - factor) * grey, clipped to 0 ... 255."""
    levels = factor * np.arange(256) + (1 - factor) * grey
    return cv2.LUT(image, levels.round().clip(0, 255).astype(np.uint8))
