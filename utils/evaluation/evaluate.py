"""Evaluation, shared by main.py and test.py: a model and a test set -> scores and pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader
from tqdm import tqdm

from dataset.benchmarks.annotations import GT_SIZE
from dataset.benchmarks.test_sets import collate
from dataset.media.image import denormalise
from dataset.storage.workers import worker_options
from utils import distributed
from utils.evaluation.baselines import BASELINES, ORACLE, score_baselines
from utils.evaluation.detection import confidence, detection_scores, interactive_scores
from utils.evaluation.metrics import min_max, summarise_all
from utils.evaluation.object_prior import ObjectPrior
from utils.evaluation.segmentation import frame_scores, segmentation_scores
from utils.evaluation.thresholds import PIXELS, RULES, GroundTruth, choose, score_maps

HEADLINE = "fixed0.5"  # the rule of SACL's and SSPL's papers, used where no other rule is named


@dataclass
class Evaluation:
    """Scores of a test set.

    items: a dict for each item that was read, in the set's order: id, index, iou (by HEADLINE), has_box, box_area
        (share of the image), similarity (h, w), the model's map; class, sounding, group and video, None where the set
        does not say; confidence, where the set says what sounds; f_curve and frame_iou for frames of videos
        (segmentation.py); illustration for an Illustrated test set (utils/report).
    scores: (n, 2, WIDTH) of thresholds.score_maps, by predictor: "model", BASELINES, ORACLE, and the maps of an
        ObjectPrior where there is one.
    missing: {"id", "error"} of the other items.
    pictures: for the first items: id, iou, frame (size, size, 3) uint8, heat (224, 224) in [0, 1], gt_map (224, 224).
    """

    items: list[dict]
    scores: dict[str, np.ndarray]
    missing: list[dict]
    pictures: list[dict]

    def summary(self, rules: Sequence[str] = ()) -> dict:
        """Named numbers: the scores of model, baselines and oracle by the first of the rules (HEADLINE where none is
        named), items without a box, missing items; under "rules" the scores by each rule that is named."""
        by_rule = {rule: self.by_rule(rule) for rule in rules or [HEADLINE]}
        return {
            **next(iter(by_rule.values())),
            **({"rules": by_rule} if rules else {}),
            **({"segmentation": self.segmentation()} if self.items[0]["video"] else {}),
            "without_box": [item["id"] for item in self.items if not item["has_box"] and item["sounding"] is not False],
            "missing": self.missing,
            "partial": bool(self.missing),
        }

    def by_rule(self, rule: str) -> dict:
        """The scores by one rule, of the items in which something sounds; with the others, those of detection."""
        sounding = np.array([item["sounding"] is not False for item in self.items])
        chosen = {name: choose(scores[sounding], rule) for name, scores in self.scores.items()}
        ious, areas = ({name: parts[k] for name, parts in chosen.items()} for k in (0, 1))
        numbers = summarise_all(ious, areas)
        for name, (_, _, threshold) in chosen.items():
            if threshold is not None and name != ORACLE:  # the oracle's region is the boxes', whatever the threshold
                numbers[name]["threshold"] = threshold
        by_rule = {"rule": rule, "predicted": RULES[rule], **numbers.pop("model"), ORACLE: numbers.pop(ORACLE)}
        by_rule["baselines"] = {name: numbers.pop(name) for name in BASELINES}
        if numbers:
            by_rule["object_guided"] = numbers  # with another network's help: not the model's score
        if not sounding.all():
            every = np.zeros(len(sounding))
            every[sounding] = ious["model"]
            confidences = [item["confidence"] for item in self.items]
            by_rule["detection"] = detection_scores(every, confidences, sounding)
        if self.items[0]["group"]:
            groups = [item["group"] for item in self.items]
            by_rule["several"] = {name: interactive_scores(values, groups) for name, values in ious.items()}
        return by_rule

    def segmentation(self) -> dict:
        """AVSBench's scores, which have thresholds of their own, of a set whose items are frames of videos."""
        curves, ious, videos = ([item[key] for item in self.items] for key in ("f_curve", "frame_iou", "video"))
        return segmentation_scores(np.array(curves), np.array(ious), videos)


def build_test_loader(test_set, batch_size: int, workers: int) -> DataLoader:
    """This process's share of a test set, in order; the processes together see each item once."""
    share = range(distributed.rank(), len(test_set), distributed.world_size())
    # A generator of its own: an evaluation must not change the random numbers of the training around it.
    options = {"collate_fn": collate, "generator": torch.Generator(), **worker_options(workers)}
    return DataLoader(test_set, batch_size, sampler=share, **options)


@torch.no_grad()
def evaluate(
    model,
    loader: DataLoader,
    device: torch.device,
    num_visual: int = 0,
    skip_missing: bool = False,
    sound_tests: Sequence = (),
    prior: ObjectPrior | None = None,
) -> Evaluation:
    """Scores `model` on a loader of build_test_loader, in float32, by all RULES at once.

    num_visual: how many items to keep pictures of, from the first on. sound_tests: of build_sound_tests, updated with
    each batch. prior: an ObjectPrior, whose maps are scored as well. Raises ValueError with the item's name where one
    is missing or cannot be read, unless skip_missing, and where a similarity is not finite.
    """
    model.eval()
    if not skip_missing:
        check_complete(loader.dataset)
    num_visual = num_visual if distributed.is_main() else 0
    benchmark = loader.dataset.benchmark
    rows, missing, pictures = [], [], []
    for batch, failed in tqdm(loader, desc="evaluate", unit="batch", leave=False, disable=not distributed.is_main()):
        distributed.report(f"evaluation, item {len(rows) + len(missing)} of {len(loader.sampler)}")
        if failed and not skip_missing:
            raise ValueError(f"{failed[0]['id']}: {failed[0]['error']} (--skip_missing leaves such items out)")
        missing += failed
        if batch is None:
            continue
        ids, image, gt = batch["id"], batch["image"].to(device), batch["gt_map"].numpy()
        similarity = localize(model, image, batch["audio"].to(device), batch["index"].tolist(), sound_tests)
        maps = enlarge(similarity, ids)
        heat = min_max(maps)
        scored = score(ids, heat, gt, prior.refine(image, heat) if prior else None)
        more = {"index": batch["index"].tolist(), "similarity": similarity.float().cpu().numpy()}
        more["confidence"] = confidence(maps) if benchmark.sounding else [None] * len(ids)
        more["illustration"] = batch.get("illustration", [None] * len(ids))
        if benchmark.videos:
            more["f_curve"], more["frame_iou"] = frame_scores(heat, gt)
        rows += [row | {key: values[i] for key, values in more.items()} for i, row in enumerate(scored)]
        for i in range(min(len(ids), num_visual - len(pictures))):
            picture = {"id": ids[i], "iou": scored[i]["iou"], "frame": denormalise(batch["image"][i])}
            pictures.append({**picture, "heat": heat[i], "gt_map": gt[i]})
    return join(rows, missing, pictures, benchmark)


def check_complete(test_set):
    """Raises ValueError where items are missing, before the others are evaluated."""
    absent = test_set.find_missing()
    if absent:
        item_id, sentence = next(iter(absent.items()))
        raise ValueError(
            f"{len(absent)} of {len(test_set)} test items are missing, first {item_id}: {sentence} "
            "(--skip_missing leaves such items out)"
        )


def localize(model, image, audio, indices, sound_tests):
    """The model's maps (B, h, w); updates the sound tests with the encoded images."""
    if not sound_tests:
        return model.localize(image, audio)
    vision = model.encode_image(image)
    similarity = model.similarity(vision, model.encode_sound(audio))
    for test in sound_tests:
        test.update(indices, vision, similarity)
    return similarity


def join(rows: list[dict], missing: list[dict], pictures: list[dict], benchmark) -> Evaluation:
    """An Evaluation of the rows and missing items of all processes, in the set's order."""
    rows, missing = (sorted(distributed.gather_lists(part), key=lambda item: item["index"]) for part in (rows, missing))
    if not rows:
        raise ValueError("there is no item to score: check the test list and the files it names")
    scores = {name: np.stack([row["scores"][name] for row in rows]) for name in rows[0]["scores"]}
    missing = [{"id": item["id"], "error": item["error"]} for item in missing]
    items = [{key: value for key, value in row.items() if key != "scores"} for row in rows]
    known = {"class": benchmark.classes, "sounding": benchmark.sounding}
    known |= {"group": benchmark.groups, "video": benchmark.videos}
    for key, values in known.items():
        for item in items:
            item[key] = values[item["index"]] if values else None
    return Evaluation(items, scores, missing, pictures)


def heat_maps(similarity: torch.Tensor, ids: list[str]) -> np.ndarray:
    """Cosine maps (B, h, w) -> heat maps (B, 224, 224) float32 NumPy in [0, 1]; a constant map becomes 0."""
    return min_max(enlarge(similarity, ids))


def enlarge(similarity: torch.Tensor, ids: list[str]) -> np.ndarray:
    """Maps (B, h, w) -> (B, 224, 224) float32 NumPy. Raises ValueError naming the item whose map is not finite."""
    finite = similarity.isfinite().all(dim=(1, 2))
    if not finite.all():
        raise ValueError(f"{ids[int(finite.int().argmin())]}: its similarity map is not finite: the weights are broken")
    return interpolate(similarity[:, None].float(), (GT_SIZE, GT_SIZE), mode="bilinear")[:, 0].cpu().numpy()


def score(ids: list[str], heat: np.ndarray, gt: np.ndarray, others: dict | None = None) -> list[dict]:
    """For each item a dict of id, iou, has_box, box_area, and the scores of model, baselines and oracle.

    heat, gt: (B, 224, 224). others: further heat maps by name.
    """
    truth = GroundTruth(gt)
    scores = {name: score_maps(maps, truth) for name, maps in {"model": heat, **(others or {})}.items()}
    scores |= score_baselines(truth)
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


def describe(summary: dict) -> str:
    """One line of a summary's scores."""
    spread = {key: "[{:.3f}, {:.3f}]".format(*summary[f"{key}_95"]) for key in ("ciou", "auc")}
    return f"cIoU {summary['ciou']:.3f} {spread['ciou']}  AUC {summary['auc']:.3f} {spread['auc']}"
