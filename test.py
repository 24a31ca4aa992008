"""Scores a SACL checkpoint: python test.py. Every setting is in arguments_test.py."""

import json
from pathlib import Path

from arguments_test import parse_args
from dataset import build_test_set
from dataset.test_sets import SwappedSounds
from models import build_model
from utils import checkpoint, distributed
from utils.clips import find_clips, localise_clips
from utils.errors import one_sentence_errors
from utils.evaluation import PROTOCOL, build_test_loader, evaluate
from utils.report import Illustrated, save_report
from utils.results import table, write_results
from utils.visualize import save_overlays


def main():
    args = parse_args()
    with distributed.processes(args.device) as device:
        model = build_model(args).to(device)
        if args.clip:
            if distributed.is_main():
                show_clips(model, args)
            return
        test_set = build_test_set(args.testset, args)
        if args.swap_sounds:
            test_set = SwappedSounds(test_set, args.seed)
        loader = build_test_loader(Illustrated(test_set), args.batch_size_per_gpu, args.workers)
        evaluation = evaluate(model, loader, device, args.num_visual, args.skip_missing)
        if distributed.is_main():
            report(evaluation, args)


def show_clips(model, args):
    """Localises the sounds of --clip; raises ValueError if that failed for one."""
    clips = find_clips(args.clip)
    folder = Path(args.ckpt) / "clips"
    failed = localise_clips(model, clips, folder, describe_checkpoint(args), args.imgSize, args.batch_size_per_gpu)
    if failed:
        raise ValueError(f"{failed} of {len(clips)} clips could not be localised: their lines above say why")


def report(evaluation, args):
    """Writes results.json, per_sample.csv, report.html and the pictures into args.ckpt, and prints the scores."""
    folder = Path(args.ckpt)
    folder.mkdir(parents=True, exist_ok=True)
    results = {"testset": args.testset, "sounds": "swapped" if args.swap_sounds else "own"}
    by_rule = {rule: evaluation.by_rule(rule) for rule in args.rules}
    results |= {**evaluation.summary(), **by_rule[args.rules[0]], "rules": by_rule, "protocol": PROTOCOL}
    results |= {"checkpoint": describe_checkpoint(args), "arguments": vars(args)}
    write_results(folder, results, evaluation)
    save_report(folder / "report.html", results, evaluation)

    print(f"Test set {args.testset}, {results['n']} items, sounds: {results['sounds']} (per cent, 95 % intervals)")
    print("\n".join(table(results["rules"])))
    for item in evaluation.missing:
        print(f"  left out: {item['id']}: {item['error']}")
    if evaluation.pictures:
        print(f"Pictures: {save_overlays(evaluation.pictures, folder / 'pictures')}")
    print(f"Report: {folder / 'report.html'}")
    print(f"Numbers: {folder / 'results.json'}, {folder / 'per_sample.csv'}")


def describe_checkpoint(args):
    """Which files were scored, and what the run that wrote them selected them on."""
    note = Path(args.weights_frame).parent / "best.json"
    selected_on = json.loads(note.read_text())["selected_on"] if note.is_file() else "not known"
    files = {"frame": args.weights_frame, "sound": args.weights_sound}
    return {
        **{name: {"file": str(path), "sha256": checkpoint.sha256(path)} for name, path in files.items()},
        "selected_on": selected_on,
    }


if __name__ == "__main__":
    with one_sentence_errors():
        main()
