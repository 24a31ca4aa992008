"""Drawings of the demo set: eight things that sound, each cut from a paper of its own."""

import numpy as np

from dataset.demo.pen import INK, WHITE, Pen, box, ellipse, hsv, shades, smooth, turned

# Things. Each takes a pen and a generator.


def _bell(pen, rng):
    hue, wide = rng.uniform(0.115, 0.145), rng.uniform(0.36, 0.43)
    gold = shades(hue, 0.85, 0.95, 0.55, 0.9, 1.12, 0.95, 0.75, 0.5)
    pen.line(ellipse(0.5, 0.09, 0.09, 0.07), gold[0], 0.05, closed=True)
    pen.fill(ellipse(0.5, 0.9, 0.1, 0.1), *shades(hue - 0.03, 0.8, 0.6, 1.2, 0.5))
    cup = [(0.1, 0.13), (0.24, 0.18), (wide - 0.06, 0.32), (wide - 0.02, 0.52), (wide + 0.02, 0.68), (0.49, 0.83)]
    cup = smooth(turned([*cup, (0.5, 0.88), (0.46, 0.92), (0.25, 0.94), (0.0, 0.95)]))
    pen.fill(cup, *gold)
    pen.clip = pen.stencil(cup)
    for y in rng.choice([0.3, 0.38, 0.56, 0.64], rng.integers(2, 4), replace=False):
        pen.line(ellipse(0.5, y, 0.55, 0.07, 0.02, 0.48), gold[0], 0.02)
        pen.line(ellipse(0.5, y + 0.018, 0.55, 0.07, 0.02, 0.48), gold[2], 0.01)
    pen.fill(turned([(0.6, 0.8), (0.6, 1.0)]), *shades(hue - 0.01, 0.9, 0.85, 0.6, 1.1, 0.8, 0.5))
    pen.line(ellipse(0.5, 0.745, 0.6, 0.09, 0.02, 0.48), gold[0], 0.02)
    gleam = smooth([(0.27, 0.27), (0.33, 0.25), (0.29, 0.45), (0.25, 0.66), (0.2, 0.68), (0.23, 0.45)])
    pen.fill(gleam, WHITE, opacity=0.65)
    pen.clip = None


def _drum(pen, rng):
    hue, tilt = rng.uniform(-0.025, 0.02), rng.uniform(0.12, 0.18)
    red = shades(hue, 0.88, 0.85, 0.6, 1.05, 1.1, 0.8, 0.5)
    hoop = shades(rng.uniform(0.1, 0.14), 0.35, 0.95, 0.7, 1, 1.05, 0.9, 0.6)
    front = ellipse(0.5, 1 - tilt, 0.5, tilt, 0, 0.5)
    shell = np.r_[[(0.0, tilt), (1.0, tilt)], front]
    pen.fill(shell, *red)
    pen.clip = pen.stencil(shell)
    count = int(rng.integers(5, 8))
    angle = np.pi * np.arange(2 * count + 1) / (2 * count)
    x, sag = 0.5 - 0.5 * np.cos(angle), tilt * np.sin(angle)
    rope = np.stack([x, np.where(np.arange(2 * count + 1) % 2, 1 - tilt - 0.1, tilt + 0.1) + sag], 1)
    pen.line(rope + (0.008, 0.012), hsv(hue, 0.9, 0.35), 0.03)
    pen.line(rope, WHITE, 0.03)
    for y in (tilt, 1 - tilt - 0.12):
        band = np.r_[ellipse(0.5, y, 0.5, tilt, 0, 0.5), ellipse(0.5, y + 0.12, 0.5, tilt, 0.5, 0)]
        pen.fill(band, *hoop)
        pen.line(ellipse(0.5, y + 0.12, 0.5, tilt, 0, 0.5), INK, 0.008)
    pen.clip = None
    pen.fill(ellipse(0.5, tilt, 0.5, tilt), *hoop)
    pen.fill(ellipse(0.5, tilt, 0.46, tilt - 0.03), hsv(0.11, 0.12, 0.86), WHITE, hsv(0.11, 0.1, 0.9))
    pen.line(ellipse(0.5, tilt, 0.46, tilt - 0.03), hsv(0.09, 0.5, 0.5), 0.008, closed=True)
    for side in (-1, 1):
        tip, grip = (0.5 + 0.1 * side, tilt + 0.02), (0.5 - side * rng.uniform(0.2, 0.34), tilt * rng.uniform(0.4, 0.7))
        pen.line([tip, grip], hsv(0.08, 0.65, 0.5), 0.035)
        pen.fill(ellipse(*tip, 0.035, 0.035), hsv(0.09, 0.4, 0.9), hsv(0.08, 0.65, 0.6))


def _bird(pen, rng):
    hue = rng.uniform(0.24, 0.31)
    green = shades(hue, 0.75, 0.72, 1.2, 1.0, 0.7)
    pen.line([(0.5, 0.9), (0.5, 0.99), (0.58, 0.99)], hsv(0.07, 0.8, 0.7), 0.03)
    pen.line([(0.62, 0.9), (0.62, 0.99), (0.7, 0.99)], hsv(0.07, 0.8, 0.7), 0.03)
    pen.fill([(0.3, 0.5), (0.0, 0.36), (0.02, 0.5), (-0.01, 0.6), (0.1, 0.66), (0.3, 0.82)], *green)
    for end in (0.46, 0.56):
        pen.line([(0.3, 0.64), (0.02, end)], hsv(hue, 0.9, 0.3), 0.012)
    pen.fill([(0.88, 0.2), (1.02, 0.27), (0.88, 0.36)], hsv(0.11, 0.9, 1), hsv(0.05, 0.9, 0.9), along="y")
    breast = [(0.74, 0.02), (0.9, 0.14), (0.92, 0.35), (0.93, 0.62), (0.8, 0.86), (0.55, 0.94)]
    back = [(0.25, 0.86), (0.1, 0.64), (0.18, 0.48), (0.4, 0.36), (0.54, 0.2), (0.62, 0.06)]
    body = smooth(breast + back)
    pen.fill(body, *green, along="y")
    pen.clip = pen.stencil(body)
    pen.fill(ellipse(0.86, 0.66, 0.22, 0.3), hsv(hue - 0.1, 0.4, 1), opacity=0.85)
    step = rng.uniform(0.085, 0.11)
    for row, y in enumerate(np.arange(0.1, 0.95, step)):
        for x in np.arange(0.1 + step / 2 * (row % 2), 0.72, step):
            pen.line(ellipse(x, y, step / 2, step * 0.7, 0.02, 0.48), hsv(hue + 0.03, 0.9, 0.36), 0.012)
    pen.clip = None
    wing = smooth([(0.52, 0.42), (0.66, 0.5), (0.62, 0.68), (0.4, 0.76), (0.16, 0.72), (0.3, 0.5)])
    pen.fill(wing, *shades(hue + 0.05, 0.85, 0.55, 1.3, 1, 0.7), along="y")
    pen.line(wing, hsv(hue + 0.04, 0.9, 0.25), 0.012, closed=True)
    for k in range(3):
        feather = [(0.24 + 0.05 * k, 0.7 - 0.04 * k), (0.48 + 0.04 * k, 0.66 - 0.07 * k)]
        pen.line(feather, hsv(hue - 0.05, 0.5, 0.95), 0.016)
    eye = (0.78, 0.19)
    pen.fill(ellipse(*eye, 0.07, 0.07), WHITE)
    pen.fill(ellipse(eye[0] + 0.015, eye[1], 0.045, 0.045), INK)
    pen.fill(ellipse(eye[0] + 0.03, eye[1] - 0.02, 0.015, 0.015), WHITE)


def _siren(pen, rng):
    hue = rng.uniform(0.59, 0.64)
    blue = shades(hue, 0.92, 0.9, 0.45, 0.85, 1.1, 0.85, 0.4)
    dome = [(0.1, 0.0), (0.25, 0.03), (0.36, 0.11), (0.41, 0.24), (0.42, 0.45), (0.43, 0.76), (0.2, 0.77)]
    dome = smooth(turned(dome))
    pen.fill(dome, *blue)
    pen.clip = pen.stencil(dome)
    glow = rng.uniform(0.1, 0.16)
    for grow in np.linspace(2.4, 1, 7):
        pen.fill(ellipse(0.5, 0.45, glow * grow, 0.25 * grow), hsv(hue - 0.07, 0.25, 1), opacity=0.22)
    for x in np.linspace(0.1, 0.9, rng.integers(8, 11)):
        pen.line([(x + (0.5 - x) * 0.25, 0), (x, 0.2), (x, 0.8)], hsv(hue + 0.02, 1, 0.4), 0.014, opacity=0.8)
    gleam = smooth([(0.17, 0.2), (0.24, 0.1), (0.27, 0.13), (0.22, 0.3), (0.2, 0.62), (0.16, 0.6)])
    pen.fill(gleam, WHITE, opacity=0.7)
    pen.clip = None
    pen.fill(box(0.03, 0.68, 0.97, 0.78), *shades(hue, 0.1, 0.6, 0.5, 1, 1.4, 0.8, 0.4))
    base = np.array([(0.06, 0.78), (0.94, 0.78), (1.0, 0.84), (1.0, 1.0), (0.0, 1.0), (0.0, 0.84)])
    pen.fill(base, *shades(0.14, 0.9, 0.95, 0.75, 1.05, 0.95, 0.65))
    pen.clip = pen.stencil(base)
    for x in np.arange(-0.2, 1.1, rng.uniform(0.17, 0.22)):
        pen.fill([(x, 1.02), (x + 0.09, 1.02), (x + 0.21, 0.76), (x + 0.12, 0.76)], INK)
    pen.clip = None


def _car(pen, rng):
    hue, front = rng.uniform(0.72, 0.77), rng.uniform(0.24, 0.32)
    paint = shades(hue, 0.62, 0.78, 1.25, 1.0, 0.65)
    cabin = smooth([(0.14, 0.42), (0.22, 0.1), (0.34, 0.01), (0.6, 0.01), (0.72, 0.08), (0.86, 0.42), (0.5, 0.5)])
    pen.fill(cabin, *paint, along="y")
    glass = shades(0.55, 0.3, 0.95, 1.1, 0.75)
    pen.fill([(0.22, 0.4), (0.28, 0.16), (0.36, 0.09), (0.46, 0.09), (0.46, 0.4)], *glass, along="y")
    pen.fill([(0.51, 0.4), (0.51, 0.09), (0.6, 0.09), (0.68, 0.15), (0.78, 0.4)], *glass, along="y")
    for x in (0.3, 0.57):
        pen.line([(x, 0.36), (x + 0.09, 0.14)], WHITE, 0.025, opacity=0.7)
    upper, lower = [(0.02, 0.42), (0.14, 0.36), (0.84, 0.37), (0.97, 0.46)], [(1.0, 0.66), (0.98, 0.84), (0.02, 0.84)]
    body = smooth([*upper, *lower, (0.0, 0.6)])
    pen.fill(body, *paint, along="y")
    pen.clip = pen.stencil(body)
    pen.fill(box(-0.1, 0.55, 1.1, 0.6), WHITE)
    pen.fill(box(-0.1, 0.63, 1.1, 0.655), WHITE)
    pen.clip = None
    for x in (0.485, front - 0.04):
        pen.line([(x, 0.4), (x, 0.8)], hsv(hue, 0.8, 0.35), 0.012)
    pen.line([(0.4, 0.49), (0.45, 0.49)], WHITE, 0.025)
    pen.fill(ellipse(0.96, 0.52, 0.045, 0.07), hsv(0.14, 0.3, 1), hsv(0.14, 0.7, 0.95))
    pen.fill(ellipse(0.025, 0.5, 0.03, 0.06), hsv(0.0, 0.8, 0.9))
    pen.fill(box(-0.01, 0.78, 1.01, 0.85), *shades(0.6, 0.05, 0.7, 1.2, 0.6), along="y")
    spokes = int(rng.integers(5, 8))
    for x in (front - 0.04, 0.76):
        for radius, colour in ((0.145, INK), (0.09, hsv(0.6, 0.05, 0.85)), (0.07, hsv(0.6, 0.1, 0.4))):
            pen.fill(ellipse(x, 0.83, radius, radius * pen.unit[0] / pen.unit[1]), colour)
        for angle in np.linspace(0, 2 * np.pi, spokes, endpoint=False) + rng.uniform(0, 1):
            far = 0.08 * np.array([np.cos(angle), np.sin(angle) * pen.unit[0] / pen.unit[1]])
            pen.line([(x, 0.83), far + (x, 0.83)], hsv(0.6, 0.03, 0.9), 0.02)


def _guitar(pen, rng):
    hue = rng.uniform(0.055, 0.085)
    wood = shades(hue, 0.72, 0.72, 0.75, 1.15, 1.0, 0.65)
    dark = hsv(hue - 0.02, 0.7, 0.28)
    pen.fill([(0.38, 0.0), (0.62, 0.0), (0.59, 0.14), (0.41, 0.14)], *shades(hue, 0.75, 0.45, 1.2, 0.8))
    for y in (0.03, 0.07, 0.11):
        pen.fill(ellipse(0.36, y, 0.04, 0.016), hsv(0.12, 0.15, 0.9))
        pen.fill(ellipse(0.64, y, 0.04, 0.016), hsv(0.12, 0.15, 0.9))
    waist = rng.uniform(0.36, 0.41)
    body = [(0.12, 0.22), (0.36, 0.24), (0.45, 0.36), (waist, 0.52), (0.46, 0.66), (0.5, 0.8), (0.4, 0.95), (0.15, 1.0)]
    body = smooth(turned(body))
    pen.fill(body, *wood)
    pen.clip = pen.stencil(body)
    wave = np.linspace(0.2, 1.02, 25)
    for x in np.arange(0.0, 1.0, 0.045):
        sway = 0.012 * np.sin(9 * wave + rng.uniform(0, 6)) + x + rng.uniform(-0.01, 0.01)
        pen.line(np.stack([sway, wave], 1), hsv(hue - 0.01, 0.85, 0.4), 0.01, opacity=0.55)
    pen.clip = None
    pen.line(0.5 + 0.93 * (body - 0.5) + (0, 0.012), hsv(0.1, 0.45, 0.9), 0.014, closed=True)
    pen.fill(ellipse(0.5, 0.6, 0.19, 0.1), hsv(0.1, 0.35, 0.9))
    pen.fill(ellipse(0.5, 0.6, 0.155, 0.08), INK, dark)
    pen.fill(box(0.43, 0.12, 0.57, 0.56), dark, hsv(hue, 0.6, 0.42), dark)
    for y in 0.15 + 0.42 * (1 - 0.9 ** np.arange(1, 11)):
        pen.line([(0.43, y), (0.57, y)], hsv(0.12, 0.2, 0.85), 0.008)
    pen.fill(box(0.3, 0.8, 0.7, 0.84), dark)
    for x in np.linspace(0.45, 0.55, 4):
        pen.line([(x, 0.05), (x, 0.82)], WHITE, 0.006)


def _clock(pen, rng):
    hue = rng.uniform(0.915, 0.965)
    pink = shades(hue, 0.55, 0.98, 1.1, 1.0, 0.7)
    pen.line([(0.24, 0.86), (0.14, 0.99)], hsv(hue, 0.5, 0.55), 0.07)
    pen.line([(0.76, 0.86), (0.86, 0.99)], hsv(hue, 0.5, 0.55), 0.07)
    pen.line([(0.3, 0.1), (0.5, 0.01), (0.7, 0.1)], hsv(hue, 0.4, 0.5), 0.03)
    pen.fill(box(0.47, 0.02, 0.53, 0.15), hsv(hue, 0.4, 0.5))
    for x, lean in ((0.2, -0.6), (0.8, 0.6)):
        cos, sin = np.cos(lean), np.sin(lean)
        cap = ellipse(0, 0, 0.19, 0.16, 0.5, 1.0) @ np.array([[cos, sin], [-sin, cos]])
        pen.fill(cap + (x, 0.2), *shades(hue, 0.45, 0.95, 1.15, 0.9, 0.6))
    pen.fill(ellipse(0.5, 0.56, 0.48, 0.42), *pink, along="y")
    pen.fill(ellipse(0.5, 0.56, 0.38, 0.33), hsv(hue, 0.6, 0.5))
    pen.fill(ellipse(0.5, 0.565, 0.365, 0.315), WHITE, hsv(0.1, 0.06, 0.9), along="y")
    for hour in range(12):
        way = np.array([np.sin(hour * np.pi / 6) * 0.365, -np.cos(hour * np.pi / 6) * 0.315])
        inner = 0.72 if hour % 3 == 0 else 0.8
        pen.line([inner * way + (0.5, 0.565), 0.92 * way + (0.5, 0.565)], INK, 0.035 if hour % 3 == 0 else 0.02)
    for length, width, colour in ((0.5, 0.04, INK), (0.72, 0.028, INK), (0.8, 0.012, hsv(0.0, 0.85, 0.85))):
        angle = rng.uniform(0, 2 * np.pi)
        tip = length * np.array([np.sin(angle) * 0.365, -np.cos(angle) * 0.315])
        pen.line([(0.5, 0.565), tip + (0.5, 0.565)], colour, width)
    pen.fill(ellipse(0.5, 0.565, 0.035, 0.03), hsv(0.0, 0.85, 0.85))
    pen.line(ellipse(0.5, 0.56, 0.43, 0.375, 0.55, 0.7), WHITE, 0.03, opacity=0.8)


def _kettle(pen, rng):
    hue, belly = rng.uniform(0.47, 0.51), rng.uniform(0.36, 0.4)
    enamel = shades(hue, 0.75, 0.8, 0.7, 1.1, 1.15, 0.85, 0.55)
    handle = ellipse(0.44, 0.34, 0.3, 0.3, 0.5, 1.0)
    pen.line(handle, INK, 0.085)
    pen.line(handle + (-0.005, -0.01), hsv(0.07, 0.5, 0.5), 0.03)
    spout = smooth([(0.7, 0.74), (0.66, 0.56), (0.84, 0.42), (0.9, 0.27), (1.0, 0.25), (0.97, 0.45), (0.86, 0.7)])
    pen.fill(spout, *enamel, along="y")
    profile = turned([(0.14, 0.3), (0.26, 0.36), (belly - 0.02, 0.54), (belly + 0.04, 0.74), (0.42, 0.92), (0.36, 1.0)])
    body = smooth(profile - (0.06, 0))
    pen.fill(body, *enamel)
    pen.clip = pen.stencil(body)
    step = rng.uniform(0.14, 0.18)
    for row, y in enumerate(np.arange(0.42, 0.9, step * 0.75)):
        for x in np.arange(step / 2 * (row % 2) - 0.02, 0.95, step):
            pen.fill(ellipse(x, y, step * 0.26, step * 0.26), WHITE)
    pen.fill(box(-0.1, 0.92, 1.1, 1.1), hsv(hue + 0.02, 0.8, 0.4))
    gleam = smooth([(0.18, 0.5), (0.24, 0.42), (0.26, 0.46), (0.19, 0.6), (0.16, 0.78), (0.12, 0.74)])
    pen.fill(gleam, WHITE, opacity=0.6)
    pen.clip = None
    pen.fill(ellipse(0.44, 0.33, 0.2, 0.06), *shades(hue, 0.75, 0.6, 1.2, 0.7))
    pen.fill(ellipse(0.44, 0.26, 0.06, 0.05), hsv(0.07, 0.5, 0.6), INK)


THINGS = {  # name: its drawing, its width / height
    "bell": (_bell, 0.92),
    "drum": (_drum, 1.1),
    "bird": (_bird, 1.1),
    "siren": (_siren, 0.95),
    "car": (_car, 1.45),
    "guitar": (_guitar, 0.72),
    "clock": (_clock, 0.88),
    "kettle": (_kettle, 1.15),
}


# Each kind is cut from a paper of its own, so that every part of it, not only its most telling one, looks like it:
# hue, saturation and value, and where the darker half of the pattern lies, x and y in units of its period.
PAPERS = {
    "bell": ((0.16, 0.85, 1.0), lambda x, y: y % 1 < 0.5),
    "drum": ((0.0, 0.85, 0.9), lambda x, y: (y + np.abs(x % 1 - 0.5)) % 1 < 0.5),
    "bird": ((0.33, 0.8, 0.75), lambda x, y: np.hypot(x % 1 - 0.5, (y + np.floor(x) / 2) % 1 - 0.5) > 0.42),
    "siren": ((0.63, 0.85, 0.95), lambda x, y: x % 1 < 0.5),
    "car": ((0.77, 0.6, 0.9), lambda x, y: (x + y) % 1 < 0.5),
    "guitar": ((0.065, 0.9, 0.95), lambda x, y: np.sin(9 * x + np.sin(5 * y)) > 0.6),
    "clock": ((0.91, 0.5, 1.0), lambda x, y: (x % 1 < 0.5) ^ (y % 1 < 0.5)),
    "kettle": ((0.49, 0.75, 0.85), lambda x, y: np.hypot(x % 1 - 0.5, y % 1 - 0.5) < 0.3),
}
PERIOD = 30  # of a paper's pattern, in pixels of the sprite


def draw_thing(name, rng):
    """One example of a class: (h, w, 4) float32 RGBA in 0 ... 255, colours times alpha, cropped to its opaque box."""
    draw, aspect = THINGS[name]
    pen = Pen(aspect * np.exp(rng.uniform(-0.14, 0.14)), rng.uniform(-8, 8))
    draw(pen, rng)
    sprite = _on_paper(pen.sprite(INK), *PAPERS[name], rng)
    return np.ascontiguousarray(sprite[:, ::-1]) if rng.random() < 0.5 else sprite


def _on_paper(sprite, colour, pattern, rng):
    """The drawing, two thirds of its colours replaced by the paper's under the drawing's light and shade."""
    hue, saturation, value = colour
    paper = np.float32(hsv(hue + rng.normal(0, 0.015), saturation, value * rng.uniform(0.9, 1.05)))
    y, x = np.indices(sprite.shape[:2]) / (PERIOD * rng.uniform(0.8, 1.2)) + rng.random((2, 1, 1))
    alpha = sprite[..., 3:] / 255
    light = 0.45 * alpha + 0.75 * sprite[..., :3].mean(axis=2, keepdims=True) / 255
    printed = paper * light * np.where(pattern(x, y), 0.72, 1.0)[..., None]
    sprite[..., :3] = np.minimum(sprite[..., :3] / 3 + printed * 2 / 3, 255 * alpha)
    return sprite
