"""Images: reading, resizing, normalising."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn.functional import interpolate

# One thread an image: workers run in parallel. Set before OpenCV starts threads of its own: a worker forked afterwards
# would inherit their locks, and might wait for them for ever.
cv2.setNumThreads(0)

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)  # ImageNet's, of RGB in [0, 1]
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)

# Normalised values of a channel's 256 levels: a lookup is faster than three passes of arithmetic.
NORMALISED = ((torch.arange(256).expand(3, 1, 256) / 255 - MEAN) / STD).permute(1, 2, 0).contiguous().numpy()


def read_image(path: str | Path, upright: bool = False) -> np.ndarray:
    """An image file as (h, w, 3) uint8 RGB. upright: rotated as its EXIF says, which the published programs do not do.

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


def resize(frame: np.ndarray, size: int) -> np.ndarray:
    """(h, w, 3) uint8 -> (size, size, 3) uint8, bicubic with antialiasing: Pillow's result, to within rounding."""
    if frame.shape[:2] == (size, size):
        return frame
    image = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None]
    return interpolate(image, (size, size), mode="bicubic", antialias=True)[0].permute(1, 2, 0).numpy()


def normalise(images: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Images (..., h, w, 3) uint8 RGB, standardised with ImageNet's mean and deviation: (..., 3, h, w) float32 on the
    same device, channels last in memory.
    """
    images = torch.as_tensor(images)
    if images.device.type != "cpu":
        return standardise(images.movedim(-1, -3).float())
    tall = images.reshape(-1, *images.shape[-2:]).numpy()
    return torch.from_numpy(cv2.LUT(tall, NORMALISED)).view(images.shape).movedim(-1, -3)


def standardise(images: torch.Tensor) -> torch.Tensor:
    """Images (..., 3, h, w) float32 in 0..255, standardised with ImageNet's mean and deviation."""
    mean, std = (values.to(images.device, non_blocking=True) for values in (MEAN, STD))
    return (images / 255 - mean) / std


def denormalise(image: torch.Tensor) -> np.ndarray:
    """The inverse of normalise: (3, h, w) float32 -> (h, w, 3) uint8 RGB."""
    return ((image.cpu() * STD + MEAN) * 255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


def test_image(frame: np.ndarray, size: int) -> torch.Tensor:
    """(h, w, 3) uint8 RGB -> (3, size, size) float32: resized to exactly that (aspect ratio not kept), normalised."""
    return normalise(resize(frame, size))
