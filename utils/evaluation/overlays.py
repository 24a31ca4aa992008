"""Pictures of test items under their heat maps."""

from pathlib import Path

import cv2
import numpy as np

from dataset.media.pictures import contact_sheet, write_png

TILE = 224


def overlay(frame: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A frame under a heat map, which covers more of it the higher it is, with the outline of the predicted region
    (yellow).

    Args:
        frame: (h, w, 3) uint8 RGB.
        heat: any size, float32 in [0, 1].
    Returns: (h, w, 3) uint8.
    """
    height, width = frame.shape[:2]
    heat = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    weight = 0.07 + 0.53 * heat
    heated = cv2.blendLinear(np.ascontiguousarray(colours), np.ascontiguousarray(frame), weight, 1 - weight)
    thickness = max(2, round(max(height, width) / 320))
    outline(heated, heat >= 0.5, (40, 40, 40), thickness + 2)  # yellow alone is not seen on bright frames
    outline(heated, heat >= 0.5, (255, 225, 0), thickness)
    return heated


def tile(picture: dict) -> np.ndarray:
    """One item of Evaluation.pictures as (224, 448, 3) uint8 RGB: the frame, and the frame under its heat map.

    Both carry the ground truth's outline (white, one a level of agreement).
    """
    frame = cv2.resize(picture["frame"], (TILE, TILE), interpolation=cv2.INTER_CUBIC)
    heated = overlay(frame, picture["heat"])
    for image in (frame, heated):
        for level in np.unique(picture["gt_map"][picture["gt_map"] > 0]):
            outline(image, picture["gt_map"] >= level, (255, 255, 255), 2)
    cv2.rectangle(heated, (0, TILE - 20), (70, TILE), (0, 0, 0), cv2.FILLED)
    cv2.putText(heated, f"IoU {picture['iou']:.2f}", (4, TILE - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255))
    return np.hstack([frame, heated])


def outline(image, region, colour, thickness):
    """Draws the border of a (h, w) bool region into a (h, w, 3) image of the same size."""
    contours = cv2.findContours(region.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
    cv2.drawContours(image, contours, -1, colour, thickness, cv2.LINE_AA)


def save_overlays(pictures, folder):
    """One PNG an item, named by its id, and overview.png with the first twelve. Returns the overview's path."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tiles = [tile(picture) for picture in pictures]
    for picture, image in zip(pictures, tiles, strict=True):
        write_png(folder / f"{picture['id']}.png", image)
    write_png(folder / "overview.png", contact_sheet(tiles[:12], columns=3))
    return folder / "overview.png"
