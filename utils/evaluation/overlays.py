"""Pictures of test items under their heat maps."""

from pathlib import Path

import cv2
import numpy as np

from dataset.media.pictures import contact_sheet, write_png

TILE = 224


def overlay(picture):
    """One item of Evaluation.pictures as (224, 448, 3) uint8 RGB: the frame, and the frame under its heat map.

    Both carry the ground truth's outline (white, one a level of agreement), the right one also that of the predicted
    region (black).
    """
    frame = cv2.resize(picture["frame"], (TILE, TILE), interpolation=cv2.INTER_CUBIC)
    colours = cv2.applyColorMap((picture["heat"] * 255).astype(np.uint8), cv2.COLORMAP_JET)[..., ::-1]
    heated = cv2.addWeighted(frame, 0.55, np.ascontiguousarray(colours), 0.45, 0)
    outline(heated, picture["heat"] >= 0.5, (0, 0, 0), 1)
    for image in (frame, heated):
        for level in np.unique(picture["gt_map"][picture["gt_map"] > 0]):
            outline(image, picture["gt_map"] >= level, (255, 255, 255), 2)
    cv2.rectangle(heated, (0, TILE - 20), (70, TILE), (0, 0, 0), cv2.FILLED)
    cv2.putText(heated, f"IoU {picture['iou']:.2f}", (4, TILE - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255))
    return np.hstack([frame, heated])


def outline(image, region, colour, thickness):
    """Draws the border of a (h, w) bool region into a (h, w, 3) image of the same size."""
    contours = cv2.findContours(region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    cv2.drawContours(image, contours, -1, colour, thickness)


def save_overlays(pictures, folder):
    """One PNG an item, named by its id, and overview.png with the first twelve. Returns the overview's path."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tiles = [overlay(picture) for picture in pictures]
    for picture, tile in zip(pictures, tiles, strict=True):
        write_png(folder / f"{picture['id']}.png", tile)
    write_png(folder / "overview.png", contact_sheet(tiles[:12], columns=3))
    return folder / "overview.png"
