"""Evaluation, shared by main.py and test.py: a model and a test set -> scores and pictures."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader
from tqdm import tqdm

from dataset.annotations import GT_SIZE, draw_boxes
from dataset.test_sets import collate
from dataset.transforms import denormalise
from utils import distributed
from utils.metrics import consensus_iou, min_max, summarise
from utils.seed import start_worker

RULE = {
    "upsampling": f"bilinear to {GT_SIZE}",
    "normalisation": "min-max of each map",
    "predicted": "value >= 0.5",
    "success": "consensus IoU >= 0.5",
    "boxes": "cut to whole pixels",
}

# Predictions that know neither image nor sound, scored under the same rule.
AUDIO_FREE = {
    "whole_image": draw_boxes([(0, 0, 1, 1)]) > 0,
    "centred_square_0.7": draw_boxes([(0.15, 0.15, 0.85, 0.85)]) > 0,
}


@dataclass
class Evaluation:
    """Scores of a test set.

    items: one dict an item that was read, in the set's order: id, iou, has_box, and an IoU for each name of AUDIO_FREE.
    missing: {"id", "error"} of the others. pictures: for the first items, id, iou, frame (size, size, 3) uint8,
    heat (224, 224) in [0, 1], gt_map (224, 224).
    """

    items: list
    missing: list
    pictures: list

    def summary(self):
        """Named numbers: n, cIoU and AUC with 95 % intervals, the audio-free predictors', and what is amiss."""
        return {
            **summarise([item["iou"] for item in self.items]),
            "audio_free": {name: summarise([item[name] for item in self.items]) for name in AUDIO_FREE},
            "without_box": [item["id"] for item in self.items if not item["has_box"]],
            "missing": self.missing,
            "rule": RULE,
        }


def build_test_loader(test_set, batch_size, workers):
    """This process's share of a test set, in order; the processes together see each item once."""
    share = range(distributed.rank(), len(test_set), distributed.world_size())
    return DataLoader(
        test_set, batch_size, sampler=share, num_workers=workers, collate_fn=collate, worker_init_fn=start_worker
    )


@torch.no_grad()
def evaluate(model, loader, device, num_visual=0, skip_missing=False):
    """Scores `model` on a loader of build_test_loader, in float32, by the papers' rule (RULE).

    num_visual: how many items to keep pictures of, from the first on. Raises ValueError with the item's name where one
    cannot be read, unless skip_missing, and where a similarity is not finite.
    """
    model.eval()
    num_visual = num_visual if distributed.is_main() else 0
    items, missing, pictures = [], [], []
    for batch, failed in tqdm(loader, desc="evaluate", unit="batch", leave=False, disable=not distributed.is_main()):
        if failed and not skip_missing:
            raise ValueError(f"{failed[0]['id']}: {failed[0]['error']} (--skip_missing leaves such items out)")
        missing += failed
        if batch is None:
            continue
        heat = heat_maps(model.localize(batch["image"].to(device), batch["spect"].to(device)), batch["id"])
        items += score(batch["id"], heat, batch["gt_map"].numpy())
        for i in range(min(len(heat), num_visual - len(pictures))):
            item = {"id": batch["id"][i], "frame": denormalise(batch["image"][i]), "heat": heat[i]}
            pictures.append({**item, "gt_map": batch["gt_map"][i].numpy(), "iou": items[i - len(heat)]["iou"]})
    place = {item_id: i for i, item_id in enumerate(loader.dataset.ids)}
    items, missing = (
        sorted(distributed.gather_lists(part), key=lambda item: place[item["id"]]) for part in (items, missing)
    )
    return Evaluation(items, missing, pictures)


def heat_maps(similarity, ids):
    """Cosine maps (B, h, w) -> heat maps (B, 224, 224) float32 NumPy in [0, 1]; a constant map becomes 0."""
    maps = interpolate(similarity[:, None].float(), (GT_SIZE, GT_SIZE), mode="bilinear")[:, 0].cpu().numpy()
    finite = np.isfinite(maps).all(axis=(1, 2))
    if not finite.all():
        raise ValueError(f"{ids[int(finite.argmin())]}: its similarity map is not finite: the weights are broken")
    return min_max(maps)


def score(ids, heat, gt):
    """Per item, the model's and the audio-free predictors' consensus IoU: heat, gt (B, 224, 224) -> list of dicts."""
    columns = {"iou": consensus_iou(heat >= 0.5, gt)}
    for name, mask in AUDIO_FREE.items():
        columns[name] = consensus_iou(np.broadcast_to(mask, gt.shape), gt)
    has_box = gt.any(axis=(1, 2))
    return [
        {"id": ids[i], "has_box": bool(has_box[i]), **{name: float(ious[i]) for name, ious in columns.items()}}
        for i in range(len(ids))
    ]


def describe(summary):
    """One line of a summary's scores."""
    spread = {key: "[{:.3f}, {:.3f}]".format(*summary[f"{key}_95"]) for key in ("ciou", "auc")}
    return f"cIoU {summary['ciou']:.3f} {spread['ciou']}  AUC {summary['auc']:.3f} {spread['auc']}"
