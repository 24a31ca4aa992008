"""The pen that the things of the demo set are drawn with, its shapes and colours.

Everything is drawn in unit coordinates (x to the right, y down, its box is about 0 ... 1) with a Pen, larger than
it is shown, and shrunk when it is pasted. Colours are RGB triples in 0 ... 255.
"""

import colorsys
from functools import partial

import cv2
import numpy as np

SPRITE = 200  # geometric mean of width and height at which things are drawn, pixels
SHIFT = 4  # fractional bits of the coordinates given to OpenCV

WHITE, INK = (250, 248, 242), (38, 34, 44)


def hsv(hue, saturation, value):
    """RGB triple (0 ... 255) of a hue in turns (any float) and saturation and value (clipped to 0 ... 1)."""
    return tuple(255 * c for c in colorsys.hsv_to_rgb(hue % 1, np.clip(saturation, 0, 1), np.clip(value, 0, 1)))


def shades(hue, saturation, value, *steps):
    """The same colour at several brightnesses: one RGB triple for each factor in steps, paler above 1."""
    return [hsv(hue, saturation * min(1, 1.6 - 0.6 * step), value * step) for step in steps]


# Shapes: (n, 2) float arrays of unit coordinates.


def ellipse(x, y, radius_x, radius_y, start=0.0, end=1.0):
    """Points of an ellipse, or of its arc from start to end in turns (0 is right, 0.25 is down)."""
    angle = 2 * np.pi * np.linspace(start, end, 49)
    return np.stack([x + radius_x * np.cos(angle), y + radius_y * np.sin(angle)], 1)


def box(x0, y0, x1, y1):
    """The four corners of an upright rectangle."""
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float)


def smooth(points, steps=8):
    """A closed Catmull-Rom curve through the points."""
    p1 = np.asarray(points, float)[:, None]
    p0, p2, p3 = np.roll(p1, 1, 0), np.roll(p1, -1, 0), np.roll(p1, -2, 0)
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    curve = 2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    return (curve / 2).reshape(-1, 2)


def turned(profile):
    """Outline of a thing with a vertical axis at x = 0.5, from its (half width, y) pairs, top to bottom."""
    half, y = np.asarray(profile, float).T
    return np.stack([np.r_[0.5 + half, 0.5 - half[::-1]], np.r_[y, y[::-1]]], 1)


class Pen:
    """Paints shapes in unit coordinates on a transparent canvas, (height, width, 4) float32, colours times alpha."""

    def __init__(self, aspect, turn):
        """aspect: width / height; turn: rotation in degrees."""
        self.unit = SPRITE * np.array([aspect**0.5, aspect**-0.5])
        side = int(1.35 * self.unit.max())
        self.canvas = np.zeros((side, side, 4), np.float32)
        cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
        self.rotation = np.array([[cos, sin], [-sin, cos]])
        self.clip = None  # (side, side) uint8: paint only here

    def pixels(self, points):
        return (np.asarray(points, float) - 0.5) * self.unit @ self.rotation + self.canvas.shape[0] / 2

    def stencil(self, points):
        """Anti-aliased mask of a shape, (side, side) uint8: for clip."""
        mask = np.zeros(self.canvas.shape[:2], np.uint8)
        return cv2.fillPoly(mask, [_fixed(self.pixels(points))], 255, cv2.LINE_AA, SHIFT)

    def fill(self, points, *colours, along="x", opacity=1.0):
        """Fills a shape with a colour, or with a gradient through colours from left to right (x) or down (y)."""
        draw = partial(cv2.fillPoly, color=255, lineType=cv2.LINE_AA, shift=SHIFT)
        self._paint(self.pixels(points), 2, draw, colours, opacity, self.rotation["xy".index(along)])

    def line(self, points, colour, width, closed=False, opacity=1.0):
        """A line through the points, its width in unit coordinates."""
        thick = max(1, round(width * SPRITE))
        draw = partial(cv2.polylines, isClosed=closed, color=255, thickness=thick, lineType=cv2.LINE_AA, shift=SHIFT)
        self._paint(self.pixels(points), thick + 2, draw, (colour,), opacity)

    def _paint(self, pixels, margin, draw, colours, opacity, axis=None):
        """Blends what draw(mask, [fixed-point coordinates]) draws into the canvas, in the shape's own rectangle.

        Several colours make a gradient along axis, over the extent of the shape.
        """
        side = self.canvas.shape[0]
        x0, y0 = np.clip(np.floor(pixels.min(0)) - margin, 0, side).astype(int)
        x1, y1 = np.clip(np.ceil(pixels.max(0)) + margin + 1, 0, side).astype(int)
        if x1 <= x0 or y1 <= y0:
            return
        mask = draw(np.zeros((y1 - y0, x1 - x0), np.uint8), [_fixed(pixels - (x0, y0))])
        weight = mask.astype(np.float32)[..., None] * np.float32(opacity / 255)
        if self.clip is not None:
            weight *= self.clip[y0:y1, x0:x1, None] * np.float32(1 / 255)
        paint = np.array([(*colour, 255) for colour in colours], np.float32)
        if len(paint) > 1:
            along, extent = np.arange(x0, x1) * axis[0] + (np.arange(y0, y1) * axis[1])[:, None], pixels @ axis
            step = np.clip((along - extent.min()) * (255 / np.ptp(extent)), 0, 255).astype(np.uint8)
            paint = cv2.resize(paint[None], (256, 1), interpolation=cv2.INTER_LINEAR)[0][step]
        region = self.canvas[y0:y1, x0:x1]
        region += weight * (paint - region)

    def sprite(self, outline):
        """The finished drawing with a dark outline and light from the upper left, cropped: (h, w, 4) float32."""
        canvas = _cropped(self.canvas, 8)
        alpha = canvas[..., 3] / np.float32(255)
        soft = cv2.blur(cv2.blur(alpha, (15, 15)), (15, 15))
        bevel = cv2.warpAffine(soft, np.float32([[1, 0, 5], [0, 1, 7]]), soft.shape[::-1]) - soft
        canvas[..., :3] *= 1 + 0.9 * np.clip(bevel, -0.25, 0.12)[..., None]
        edge = cv2.blur(cv2.dilate(alpha, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))), (2, 2))
        canvas += ((1 - alpha) * edge)[..., None] * np.float32((*outline, 255))
        return np.clip(_cropped(canvas, 0), 0, 255)


def _cropped(canvas, margin):
    """The opaque part of a canvas (height, width, 4), and a margin in pixels around it."""
    opaque = canvas[..., 3] > 127
    xs, ys = np.flatnonzero(opaque.any(0)), np.flatnonzero(opaque.any(1))
    x0, y0 = max(xs[0] - margin, 0), max(ys[0] - margin, 0)
    return canvas[y0 : ys[-1] + 1 + margin, x0 : xs[-1] + 1 + margin]


def _fixed(pixels):
    return np.round(pixels * 2**SHIFT).astype(np.int32)
