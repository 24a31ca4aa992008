"""Evaluation, shared by main.py and test.py: a model and a test set -> scores and pictures."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader
from tqdm import tqdm

from dataset.annotations import GT_SIZE
from dataset.test_sets import collate
from dataset.transforms import denormalise
from utils import distributed
from utils.metrics import min_max, summarise_all
from utils.predictors import AUDIO_FREE, ORACLE, score_predictors
from utils.rules import PIXELS, RULES, GroundTruth, choose, score_maps
from utils.seed import start_worker

HEADLINE = "fixed0.5"  # the papers' rule: what a score is called where no other rule is named

# What every rule shares; results.json has it, and the rule itself, beside the numbers.
PROTOCOL = {
    "upsampling": f"bilinear to {GT_SIZE}",
    "normalisation": "min-max of each map",
    "success": "consensus IoU >= 0.5",
    "boxes": "cut to whole pixels; inverted and empty ones hold no pixel",
    "without_box": "an item without a valid box scores 0, and counts",
}


@dataclass
class Evaluation:
    """Scores of a test set.

    items: one dict an item that was read, in the set's order: id, iou (by HEADLINE), has_box, box_area (share of the
    image), class (None where the set does not tell), similarity (h, w) as the model gave it; of an Illustrated test set
    also illustration (utils/report).
    scores: (n, 2, WIDTH) as of rules.score_maps by predictor: "model", those of AUDIO_FREE, and ORACLE.
    missing: {"id", "error"} of the others. pictures: for the first items, id, iou, frame (size, size, 3) uint8,
    heat (224, 224) in [0, 1], gt_map (224, 224).
    """

    items: list
    scores: dict
    missing: list
    pictures: list

    def summary(self):
        """Named numbers: the scores by HEADLINE, with what the audio-free predictors and the oracle reach, and what is
        amiss."""
        return {
            **self.by_rule(HEADLINE),
            "without_box": [item["id"] for item in self.items if not item["has_box"]],
            "missing": self.missing,
            "partial": bool(self.missing),
        }

    def by_rule(self, rule):
        """The scores by one rule."""
        chosen = {name: choose(scores, rule) for name, scores in self.scores.items()}
        ious, areas = ({name: parts[k] for name, parts in chosen.items()} for k in (0, 1))
        numbers = summarise_all(ious, areas)
        for name, (_, _, threshold) in chosen.items():
            if threshold is not None and name != ORACLE:  # the oracle's region is the boxes', whatever the threshold
                numbers[name]["threshold"] = threshold
        free = {name: numbers[name] for name in AUDIO_FREE}
        return {"rule": rule, "predicted": RULES[rule], **numbers["model"], "audio_free": free, ORACLE: numbers[ORACLE]}


def build_test_loader(test_set, batch_size, workers):
    """This process's share of a test set, in order; the processes together see each item once."""
    share = range(distributed.rank(), len(test_set), distributed.world_size())
    return DataLoader(
        test_set, batch_size, sampler=share, num_workers=workers, collate_fn=collate, worker_init_fn=start_worker
    )


@torch.no_grad()
def evaluate(model, loader, device, num_visual=0, skip_missing=False):
    """Scores `model` on a loader of build_test_loader, in float32, by all RULES at once.

    num_visual: how many items to keep pictures of, from the first on. Raises ValueError with the item's name where one
    cannot be read, unless skip_missing, and where a similarity is not finite.
    """
    model.eval()
    num_visual = num_visual if distributed.is_main() else 0
    rows, missing, pictures = [], [], []
    for batch, failed in tqdm(loader, desc="evaluate", unit="batch", leave=False, disable=not distributed.is_main()):
        if failed and not skip_missing:
            raise ValueError(f"{failed[0]['id']}: {failed[0]['error']} (--skip_missing leaves such items out)")
        missing += failed
        if batch is None:
            continue
        similarity = model.localize(batch["image"].to(device), batch["spect"].to(device))
        heat = heat_maps(similarity, batch["id"])
        scored = score(batch["id"], heat, batch["gt_map"].numpy())
        more = {"similarity": similarity.float().cpu().numpy(), "illustration": batch.get("illustration")}
        more = {key: values for key, values in more.items() if values is not None}
        rows += [row | {key: values[i] for key, values in more.items()} for i, row in enumerate(scored)]
        for i in range(min(len(heat), num_visual - len(pictures))):
            item = {"id": batch["id"][i], "frame": denormalise(batch["image"][i]), "heat": heat[i]}
            pictures.append({**item, "gt_map": batch["gt_map"][i].numpy(), "iou": scored[i]["iou"]})
    return join(rows, missing, pictures, loader.dataset)


def join(rows, missing, pictures, test_set):
    """An Evaluation of the rows and missing items of all processes, in the set's order."""
    place = {item_id: i for i, item_id in enumerate(test_set.ids)}
    rows, missing = (
        sorted(distributed.gather_lists(part), key=lambda item: place[item["id"]]) for part in (rows, missing)
    )
    if not rows:
        raise ValueError("there is no item to score: check the test list and the files it names")
    scores = {name: np.stack([row["scores"][name] for row in rows]) for name in rows[0]["scores"]}
    classes = test_set.classes or [None] * len(place)
    items = [{key: value for key, value in row.items() if key != "scores"} for row in rows]
    return Evaluation([item | {"class": classes[place[item["id"]]]} for item in items], scores, missing, pictures)


def heat_maps(similarity, ids):
    """Cosine maps (B, h, w) -> heat maps (B, 224, 224) float32 NumPy in [0, 1]; a constant map becomes 0."""
    maps = interpolate(similarity[:, None].float(), (GT_SIZE, GT_SIZE), mode="bilinear")[:, 0].cpu().numpy()
    finite = np.isfinite(maps).all(axis=(1, 2))
    if not finite.all():
        raise ValueError(f"{ids[int(finite.argmin())]}: its similarity map is not finite: the weights are broken")
    return min_max(maps)


def score(ids, heat, gt):
    """Per item a dict of id, iou, has_box, box_area, and the scores of the model and the predictors without one:
    heat, gt (B, 224, 224) -> list of dicts."""
    truth = GroundTruth(gt)
    scores = {"model": score_maps(heat, truth), **score_predictors(truth)}
    headline = choose(scores["model"], HEADLINE)[0]
    marked = truth.counts[:, 1:].sum(axis=1)
    return [
        {
            "id": ids[i],
            "iou": float(headline[i]),
            "has_box": bool(marked[i]),
            "box_area": float(marked[i] / PIXELS),
            "scores": {name: values[i] for name, values in scores.items()},
        }
        for i in range(len(ids))
    ]


def describe(summary):
    """One line of a summary's scores."""
    spread = {key: "[{:.3f}, {:.3f}]".format(*summary[f"{key}_95"]) for key in ("ciou", "auc")}
    return f"cIoU {summary['ciou']:.3f} {spread['ciou']}  AUC {summary['auc']:.3f} {spread['auc']}"
