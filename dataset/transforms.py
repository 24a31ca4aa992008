"""Frames on their way to the network: the two-view augmentation of training, and the plain resize of testing."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn.functional import interpolate

from dataset.views import BRIGHTNESS, CONTRAST, HUE, ORDERS, SATURATION, view_of

# One image, one thread: the workers are what runs in parallel. Said before OpenCV starts any thread of its own, since a
# worker that is forked afterwards inherits their locks, and may wait for them for ever.
cv2.setNumThreads(0)

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)  # ImageNet's, of RGB in [0, 1]
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)

# What each of a channel's 256 values becomes: looking it up is faster than three passes of arithmetic.
NORMALISED = ((torch.arange(256).expand(3, 1, 256) / 255 - MEAN) / STD).permute(1, 2, 0).contiguous().numpy()


class TwoViews:
    """Two views of a frame, each with its region map, by OpenCV on uint8: views.py says what is drawn for them.

    Each view: resize to 1.1 size, crop, flip, colour jitter, grey, Gaussian blur. Regions follow the
    geometry, by nearest neighbour, so that no label is ever blended into another.
    """

    def __init__(self, size):
        self.size = size
        self.large = int(size * 1.1)

    def __call__(self, frame, regions, draws, out=None):
        """frame: (h, w, 3) uint8 RGB; regions: (h', w') integer labels of the same scene; draws: (2, 10), see View.

        Returns two views, (2, size, size, 3) uint8, and their regions, (2, size, size) of the same type as the whole.
        """
        enlarged = resize(frame, self.large)
        views = [view_of(row) for row in draws]
        pictures = np.stack([self._picture(enlarged, view) for view in views])
        return pictures, np.stack([self._crop_regions(regions, view) for view in views])

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


def read_image(path, upright=False):
    """An image file as (h, w, 3) uint8 RGB; upright: turned as its EXIF says, which the published programs do not do.

    Raises FileNotFoundError or ValueError naming the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: put the image there")
    flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), flags)
    except cv2.error:  # empty, or far too large
        image = None
    if image is None:
        raise ValueError(f"{path} cannot be read as an image: replace the file")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def resize(frame, size):
    """(h, w, 3) uint8 -> (size, size, 3) uint8, bicubic with antialiasing: Pillow's result, to within rounding."""
    if frame.shape[:2] == (size, size):
        return frame
    image = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None]
    return interpolate(image, (size, size), mode="bicubic", antialias=True)[0].permute(1, 2, 0).numpy()


def normalise(images):
    """Pictures (..., h, w, 3) uint8 RGB with ImageNet's mean and deviation taken out: (..., 3, h, w) float32, the
    channel still last in memory. An array or a tensor, whose device it stays on.
    """
    images = torch.as_tensor(images)
    if images.device.type != "cpu":
        return standardise(images.movedim(-1, -3).float())
    tall = images.reshape(-1, *images.shape[-2:]).numpy()
    return torch.from_numpy(cv2.LUT(tall, NORMALISED)).view(images.shape).movedim(-1, -3)


def standardise(images):
    """Pictures (..., 3, h, w) float32 in 0 ... 255 with ImageNet's mean and deviation taken out."""
    mean, std = (values.to(images.device, non_blocking=True) for values in (MEAN, STD))
    return (images / 255 - mean) / std


def denormalise(image):
    """The inverse of normalise: (3, h, w) float32 -> (h, w, 3) uint8 RGB."""
    return ((image.cpu() * STD + MEAN) * 255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


def test_image(frame, size):
    """(h, w, 3) uint8 RGB -> (3, size, size) float32: resized to exactly that (aspect ratio not kept), normalised."""
    return normalise(resize(frame, size))


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
