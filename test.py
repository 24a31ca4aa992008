"""Scores a checkpoint: python test.py. Every setting is in arguments_test.py."""

from pathlib import Path

from arguments_test import parse_args
from dataset.benchmarks import build_index, build_test_set
from dataset.benchmarks.test_sets import ShuffledSounds
from dataset.frontends import FRONT_ENDS
from models import METHODS, build_model, weights_argument
from utils import distributed
from utils.clips.localise import find_clips, localise_clips
from utils.errors import one_sentence_errors
from utils.evaluation.evaluate import build_test_loader, evaluate
from utils.evaluation.object_prior import ObjectPrior
from utils.evaluation.overlays import save_overlays
from utils.evaluation.sound_tests import build_sound_tests
from utils.report.illustration import Illustrated
from utils.results.baseline_table import tabulate
from utils.results.compare import compare
from utils.results.provenance import describe_checkpoint, take_fingerprint
from utils.results.write import check_folder, further_tables, table, write_results

SHOWN = 20  # items left out that are named on the screen


def main():
    args = parse_args()
    if args.command == "compare":
        print("\n".join(compare(args.first, args.second)))
    elif args.command == "baselines":
        for name in args.testset:
            print("\n".join(tabulate(name, build_index(name, args.data_path), args.rules)), flush=True)
    else:
        with distributed.processes(args.device, args.collective_minutes) as device:
            show_clips(args, device) if args.clip else test(args, device)


def test(args, device):
    """Scores a checkpoint on a test set."""
    check_folder(Path(args.ckpt), args)
    model = build_model(args).to(device)
    test_set = build_test_set(args.testset, args)
    if args.shuffle_sounds:
        test_set = ShuffledSounds(test_set, args.seed)
    loader = build_test_loader(Illustrated(test_set), args.batch_size_per_gpu, args.workers)
    sound_tests = build_sound_tests(args, model, test_set, device)
    prior = ObjectPrior(args.ogl, args.weights_resnet_imgnet).to(device) if args.ogl is not None else None
    evaluation = evaluate(model, loader, device, args.num_visual, args.skip_missing, sound_tests, prior)
    tested = {one.name: one.compute() for one in sound_tests}
    if distributed.is_main():
        report(evaluation, tested, test_set, args)


def report(evaluation, tested, test_set, args):
    """Writes results.json, per_sample.csv, report.html and the pictures into args.ckpt, and prints the scores."""
    from utils.report.page import save_report  # late: matplotlib costs 0.4 s, which --help need not take

    folder = Path(args.ckpt)
    folder.mkdir(parents=True, exist_ok=True)
    summary = evaluation.summary(args.rules)
    made_by = take_fingerprint(args, test_set, summary)
    results = {"method": args.method, "testset": args.testset, **summary, **tested}
    results |= {"fingerprint": made_by, "arguments": vars(args)}
    write_results(folder, results, evaluation)
    save_report(folder / "report.html", results, evaluation)

    partial = f", PARTIAL: {len(evaluation.missing)} left out" if evaluation.missing else ""
    print(f"{args.method} on test set {args.testset}, {results['n']} items{partial}, sounds: {made_by['sounds']}")
    print("Per cent, 95 % intervals")
    print("\n".join([*table(results["rules"]), *further_tables(results)]))
    for item in evaluation.missing[:SHOWN]:
        print(f"  left out: {item['id']}: {item['error']}")
    if len(evaluation.missing) > SHOWN:
        print(f"  left out: {len(evaluation.missing) - SHOWN} more, all in {folder / 'results.json'}")
    if evaluation.pictures:
        print(f"Pictures: {save_overlays(evaluation.pictures, folder / 'pictures')}")
    files = [getattr(args, weights_argument(part)) for part in METHODS[args.method].parts]
    print(f"Weights: {', '.join(map(str, files))}, selected on: {made_by['checkpoint']['selected_on']}")
    print(f"Report: {folder / 'report.html'}")
    print(f"Numbers: {folder / 'results.json'}, {folder / 'per_sample.csv'}")


def show_clips(args, device):
    """Localises the sounds of --clip, into args.ckpt/clips; raises ValueError at the end if that failed for one."""
    clips = find_clips(args.clip)
    model = build_model(args).to(device)
    if distributed.is_main():
        made_by = describe_checkpoint(args)
        folder, front_end = Path(args.ckpt) / "clips", FRONT_ENDS[args.front_end]
        failed = localise_clips(model, clips, folder, made_by, front_end, args.imgSize, args.batch_size_per_gpu)
        if failed:
            raise ValueError(f"{failed} of {len(clips)} clips could not be localised: their lines above say why")


if __name__ == "__main__":
    with one_sentence_errors():
        main()
