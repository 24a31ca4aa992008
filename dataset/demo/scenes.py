"""Scenes of the demo set: a background, a thing that sounds, and one or two silent ones."""

from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np

from dataset.demo.pen import hsv
from dataset.demo.sounds import play_thing
from dataset.demo.things import THINGS, draw_thing

SIZE = 256  # side of a frame, pixels
CLASSES = tuple(THINGS)
AREAS = (0.22, 0.4)  # of a thing's box, as a share of the frame, before it may have to shrink
SMALLEST = 0.105
OVERLAP = 0.1  # largest shared area of two boxes, as a share of the smaller
TRIES = 64


@dataclass
class Scene:
    """frame (256, 256, 3) uint8 RGB, waveform (48000,) float32 in [-1, 1]; boxes are (x0, y0, x1, y1) in 0 ... 1."""

    frame: np.ndarray
    waveform: np.ndarray
    sounding: str
    box: tuple
    silent: list
    silent_boxes: list


def make_scene(rng, sounding=None):
    """Draws and plays a Scene; sounding is one of CLASSES, or None to leave it to the generator rng.

    The things are laid out before it is decided where the sounding one goes: its size and place tell nothing.
    """
    count = 2 if rng.random() < 0.8 else 3
    sounding = CLASSES[rng.integers(len(CLASSES))] if sounding is None else sounding
    others = [name for name in CLASSES if name != sounding]
    names = rng.permutation([sounding, *rng.choice(others, count - 1, replace=False)]).tolist()
    sprites = [draw_thing(name, rng) for name in names]
    corners, sizes = _layout([sprite.shape[1] / sprite.shape[0] for sprite in sprites], rng)

    canvas = _facets(rng, BACKGROUNDS[rng.integers(len(BACKGROUNDS))](rng))
    boxes = [None] * count
    for i in sorted(range(count), key=lambda i: corners[i][1] + sizes[i][1]):  # what stands lower is nearer
        boxes[i] = _paste(canvas, sprites[i], corners[i], sizes[i])
    canvas = canvas * rng.uniform(0.85, 1.08) + rng.standard_normal(canvas.shape, np.float32) * rng.uniform(1, 3)

    which = names.index(sounding)
    return Scene(
        frame=np.clip(canvas, 0, 255).astype(np.uint8),
        waveform=play_thing(sounding, rng),
        sounding=sounding,
        box=boxes.pop(which),
        silent=[name for name in names if name != sounding],
        silent_boxes=boxes,
    )


def _layout(aspects, rng):
    """Corners and sizes, two (n, 2) int arrays of x, y in pixels, of boxes that hardly overlap.

    aspects: width / height of each. Boxes for which no place is found in TRIES layouts shrink a little.
    """
    aspects = np.array(aspects)
    areas = rng.uniform(*AREAS, len(aspects))
    while True:
        width = np.sqrt(np.maximum(areas, SMALLEST) * aspects)
        sizes = np.round(SIZE * np.stack([width, width / aspects], 1)).astype(int)
        layouts = rng.integers(0, SIZE - sizes + 1, (TRIES, *sizes.shape))
        apart = _apart(layouts, sizes)
        if apart.any():
            return layouts[apart.argmax()], sizes
        areas = areas * 0.96


def _apart(corners, sizes):
    """For each of the layouts corners (m, n, 2), whether no two boxes share more than OVERLAP of the smaller: (m,)."""
    apart = np.ones(len(corners), bool)
    for i, j in combinations(range(len(sizes)), 2):
        first, second = corners[:, i], corners[:, j]
        shared = np.minimum(first + sizes[i], second + sizes[j]) - np.maximum(first, second)
        apart &= np.maximum(shared, 0).prod(1) <= OVERLAP * min(sizes[i].prod(), sizes[j].prod())
    return apart


def _paste(canvas, sprite, corner, size):
    """Puts a sprite and its shadow on the canvas (256, 256, 3); returns its tight box in 0 ... 1."""
    (x, y), (width, height) = corner, size
    sprite = cv2.resize(sprite, (int(width), int(height)), interpolation=cv2.INTER_AREA)
    alpha = np.zeros((SIZE, SIZE), np.float32)
    alpha[y : y + height, x : x + width] = sprite[..., 3] / 255
    soft = cv2.blur(cv2.blur(alpha, (11, 11)), (11, 11))
    shadow = cv2.warpAffine(soft, np.float32([[1, 0, 3], [0, 1, 6]]), (SIZE, SIZE))
    canvas *= cv2.merge([1 - 0.45 * shadow] * 3)
    region = canvas[y : y + height, x : x + width]
    region *= 1 - sprite[..., 3:] / 255
    region += sprite[..., :3]
    xs, ys = np.flatnonzero((alpha > 0.5).any(0)), np.flatnonzero((alpha > 0.5).any(1))
    return tuple(float(edge) / SIZE for edge in (xs[0], ys[0], xs[-1] + 1, ys[-1] + 1))


# Backgrounds: each takes a generator and returns (256, 256, 3) float32 RGB in 0 ... 255.

Y, X = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) / SIZE


def _muted(rng, count):
    """Related colours of low saturation, (count, 3)."""
    hue, value = rng.random(), rng.uniform(0.5, 0.88)
    hues, saturations = hue + rng.normal(0, 0.07, count), rng.uniform(0.06, 0.28, count)
    return np.float32([*map(hsv, hues, saturations, value + rng.uniform(-0.16, 0.12, count))])


def _mix(weight, first, second):
    """Blends two colours or pictures, weight (256, 256) of the second."""
    return (first + weight[..., None] * (second - first)).astype(np.float32)


def _across(rng):
    """A ramp over the frame in a random direction, about -0.5 ... 0.5."""
    angle = rng.uniform(0, 2 * np.pi)
    return (X - 0.5) * np.cos(angle) + (Y - 0.5) * np.sin(angle)


def _noise(rng, cells):
    """Smooth noise of a number of cells a side, (256, 256) in 0 ... 1."""
    coarse = rng.random((cells, cells), np.float32)
    return np.clip(cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC), 0, 1)


def _gradient(rng):
    return _mix(np.clip(_across(rng) + 0.5, 0, 1), *_muted(rng, 2))


def _bokeh(rng):
    half = SIZE // 2  # discs out of focus need no more
    picture = np.ascontiguousarray(_gradient(rng)[::2, ::2])
    for colour in _muted(rng, int(rng.integers(10, 22))) * 1.15:
        disc = picture.copy()
        cv2.circle(disc, rng.integers(0, half, 2).tolist(), int(rng.integers(5, 18)), colour.tolist(), -1, cv2.LINE_AA)
        weight = rng.uniform(0.2, 0.6)
        picture = cv2.addWeighted(disc, weight, picture, 1 - weight, 0)
    return cv2.resize(cv2.blur(picture, (3, 3)), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)


def _stripes(rng):
    wave = np.sin(_across(rng) * 2 * np.pi * rng.uniform(3, 11))
    return _mix(np.clip(0.5 + 4 * wave, 0, 1), *_muted(rng, 2)) * (1 - 0.15 * Y[..., None])


def _tiles(rng):
    count = int(rng.integers(4, 9))
    grout, *pair = _muted(rng, 3)
    shade = cv2.resize(rng.random((count, count), np.float32), (SIZE, SIZE), interpolation=cv2.INTER_NEAREST)
    inside = (np.minimum(X * count % 1, Y * count % 1) > 0.06).astype(np.float32)
    return _mix(cv2.blur(inside, (3, 3)), grout * 0.85, _mix(shade, *pair))


def _clouds(rng):
    weight = sum(_noise(rng, cells) / 2**k for k, cells in enumerate((4, 8, 16, 40), 1))
    return _mix(weight, *_muted(rng, 2) * np.float32([[1.15], [0.85]]))


def _room(rng):
    wall, floor, board = _muted(rng, 3)
    horizon, planks = rng.uniform(0.5, 0.75), rng.uniform(4, 9)
    below = Y - horizon
    depth = np.maximum(below, 0)
    seam = np.abs((X - 0.5) / (depth + 0.25) * planks / 3 % 1 - 0.5) > 0.46
    ground = _mix(seam * np.float32(0.35), floor * 0.85, floor * 0.4) * (0.9 + 0.4 * depth[..., None])
    picture = _mix((below > 0).astype(np.float32), wall * (1.05 - 0.2 * Y[..., None]), ground)
    return _mix((np.abs(below + 0.02) < 0.02).astype(np.float32), picture, np.minimum(board * 1.2, 255))


def _hills(rng):
    picture = _mix(np.clip(Y * 1.5, 0, 1), *_muted(rng, 2))
    for level, colour in zip((0.5, 0.65, 0.8), _muted(rng, 3), strict=True):
        ridge = level + 0.07 * np.sin(X * rng.uniform(4, 9) + rng.uniform(0, 6)) + rng.uniform(-0.08, 0.08)
        picture = _mix(np.clip((Y - ridge) * SIZE, 0, 1), picture, colour * (1.2 - 0.4 * Y[..., None]))
    return picture


def _wallpaper(rng):
    count, shift = rng.uniform(6, 12), rng.integers(2) * 0.5
    row = np.floor(Y * count)
    across, down = np.abs((X * count + shift * row) % 1 - 0.5), np.abs(Y * count % 1 - 0.5)
    figures = (across + down, np.hypot(across, down), np.minimum(across, down) + np.maximum(across, down) ** 2)
    motif = figures[rng.integers(len(figures))]
    return _mix(np.clip((rng.uniform(0.2, 0.34) - motif) * 12, 0, 1), *_muted(rng, 2)) * (1.05 - 0.15 * Y[..., None])


def _facets(rng, picture):
    """The picture in facets that catch the light differently.

    An even background would be one region of half the frame, and SACL, which takes the region that holds most of the
    similar cells, would take that one for what sounds.
    """
    count = int(rng.integers(3, 5))
    centres = (np.indices((count, count)) + rng.uniform(0.15, 0.85, (2, count, count))).reshape(2, -1) / count
    facet = np.argmin((X[..., None] - centres[0]) ** 2 + (Y[..., None] - centres[1]) ** 2, axis=2)
    light = rng.permutation(np.linspace(0.68, 1.2, count * count))[:, None] * rng.normal(1, 0.05, (count * count, 3))
    return picture * light.astype(np.float32)[facet]


BACKGROUNDS = (_gradient, _bokeh, _stripes, _tiles, _clouds, _room, _hills, _wallpaper)
