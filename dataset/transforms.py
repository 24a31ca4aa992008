"""Frames on their way to the network: the two-view augmentation of training, and the plain resize of testing."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn.functional import interpolate

# One image, one thread: the workers are what runs in parallel. Said before OpenCV starts any thread of its own, since a
# worker that is forked afterwards inherits their locks, and may wait for them for ever.
cv2.setNumThreads(0)

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)  # ImageNet's, of RGB in [0, 1]
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)

# What each of a channel's 256 values becomes: looking it up is faster than three passes of arithmetic.
NORMALISED = ((torch.arange(256).expand(3, 1, 256) / 255 - MEAN) / STD).permute(1, 2, 0).contiguous().numpy()


class TwoViews:
    """Two random views of a frame, each with its region map (method: SimSiam's augmentation, as in SACL).

    Each view: resize to 1.1 size, random crop, flip (p 0.5), colour jitter 0.4, 0.4, 0.4, 0.1 (p 0.8), grey (p 0.2),
    Gaussian blur of sigma U(0.1, 2) (p 0.5), normalise. Regions follow the geometry, by nearest neighbour, so that no
    label is ever blended into another.
    """

    def __init__(self, size):
        self.size = size

    def __call__(self, frame, regions, rng):
        """frame: (h, w, 3) uint8 RGB; regions: (h', w') integer labels of the same scene; rng: numpy Generator.

        Returns views, a list of two (3, size, size) float32, and their regions, two (1, size, size) of the same type.
        """
        enlarged = resize(frame, int(self.size * 1.1))
        pairs = [self._view(enlarged, regions, rng) for _ in range(2)]
        return [view for view, _ in pairs], [labels for _, labels in pairs]

    def _view(self, enlarged, regions, rng):
        large = len(enlarged)
        top, left = rng.integers(0, large - self.size + 1, 2)
        flipped = rng.random() < 0.5

        image = enlarged[top : top + self.size, left : left + self.size]
        image = cv2.flip(image, 1) if flipped else image  # NumPy's [:, ::-1] takes twenty times as long to copy
        if rng.random() < 0.8:
            image = colour_jitter(image, rng)
        if rng.random() < 0.2:
            image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        if rng.random() < 0.5:
            image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.1, 2.0))

        height, width = regions.shape
        rows = (np.arange(top, top + self.size) + 0.5) * height // large
        columns = (np.arange(left, left + self.size) + 0.5) * width // large
        labels = regions[rows.astype(int)][:, (columns[::-1] if flipped else columns).astype(int)]
        return normalise(image), torch.from_numpy(labels)[None]


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


def normalise(image):
    """(h, w, 3) uint8 RGB -> (3, h, w) float32 with ImageNet's mean and deviation taken out."""
    return torch.from_numpy(cv2.LUT(image, NORMALISED)).permute(2, 0, 1)


def denormalise(image):
    """The inverse of normalise: (3, h, w) float32 -> (h, w, 3) uint8 RGB."""
    return ((image.cpu() * STD + MEAN) * 255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


def test_image(frame, size):
    """(h, w, 3) uint8 RGB -> (3, size, size) float32: resized to exactly that (aspect ratio not kept), normalised."""
    return normalise(resize(frame, size))


def colour_jitter(image, rng, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1):
    """Brightness, contrast, saturation (factors U(1 - s, 1 + s)) and hue (turns U(-s, s)), in random order.

    image: (h, w, 3) uint8 RGB. Returns the same shape and type.
    """
    for step in rng.permutation(4):
        if step == 0:
            image = _blend(image, 0.0, rng.uniform(1 - brightness, 1 + brightness))
        elif step == 1:
            grey = cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0]
            image = _blend(image, round(grey), rng.uniform(1 - contrast, 1 + contrast))
        elif step == 2:
            grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
            factor = rng.uniform(1 - saturation, 1 + saturation)
            image = cv2.addWeighted(image, factor, grey, 1 - factor, 0)
        else:
            turn = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)  # hue 0 ... 255 is a whole turn, and wraps
            turn[..., 0] += np.uint8(round(rng.uniform(-hue, hue) * 255) % 256)
            image = cv2.cvtColor(turn, cv2.COLOR_HSV2RGB_FULL)
    return image


def _blend(image, grey, factor):
    """factor * image + (1 - factor) * grey, clipped to 0 ... 255."""
    levels = factor * np.arange(256) + (1 - factor) * grey
    return cv2.LUT(image, levels.round().clip(0, 255).astype(np.uint8))
