"""Pictures: what the model hears where, and how a run went."""

from pathlib import Path

import cv2
import matplotlib
import numpy as np

matplotlib.use("Agg")  # files only: servers have no screen

from matplotlib import pyplot as plt  # noqa: E402  after the choice of the backend

from utils.health import LIMITS  # noqa: E402

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


def contact_sheet(tiles, columns, gap=6):
    """Images of one size in rows of `columns`, on white: list of (h, w, 3) uint8 -> (h', w', 3)."""
    height, width = tiles[0].shape[:2]
    rows = -(-len(tiles) // columns)
    columns = min(columns, len(tiles))
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def write_png(path, image):
    """(h, w, 3) uint8 RGB to a file. cv2.imwrite fails silently; this does not."""
    if not cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR)):
        raise OSError(f"{path} cannot be written: check the folder and the space left on the disk")


def save_curves(log, path):
    """Loss, cIoU and AUC, and signs of trouble over the epochs, from the lines of log.jsonl, as one PNG."""
    figure, (left, right, signs) = plt.subplots(1, 3, figsize=(15, 3.6), layout="constrained")
    trained = [line for line in log if "loss" in line]
    left.plot([line["epoch"] for line in trained], [line["loss"] for line in trained], marker=".")
    left.set(title="Training loss", xlabel="epoch", ylabel="loss (two views)")
    scored = [line for line in log if "test" in line]
    for key, name in (("ciou", "cIoU"), ("auc", "AUC")):
        epochs = [line["epoch"] for line in scored]
        line = right.plot(epochs, [line["test"][key] for line in scored], marker=".", label=name)[0]
        band = np.array([entry["test"][f"{key}_95"] for entry in scored])
        right.fill_between(epochs, band[:, 0], band[:, 1], color=line.get_color(), alpha=0.15, linewidth=0)
        baseline = max(values[key] for values in scored[-1]["test"]["baselines"].values())
        right.axhline(baseline, color=line.get_color(), linestyle=":", label=f"{name}, best no-audio baseline")
    right.set(title="Test set (band: 95 % interval)", xlabel="epoch", ylim=(0, 1))
    right.legend(fontsize="small")
    for name in LIMITS:
        given = [line for line in trained if name in line]
        if given:
            signs.plot([line["epoch"] for line in given], [line[name] for line in given], marker=".", label=name)
    signs.set(title="Early signs: spreads near 0, shares near 1 are bad", xlabel="epoch")
    signs.set_yscale("symlog", linthresh=1e-3)
    signs.set_ylim(-1e-4, 1.5)
    if signs.lines:
        signs.legend(fontsize="small")
    for axes in (left, right, signs):
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
