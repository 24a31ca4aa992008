"""The command line of dataset.prepare."""

import argparse
import os
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from dataset.benchmarks import BENCHMARKS, find_list
from dataset.prepare.clips import OK, list_clips, refuse_clips
from dataset.prepare.leaks import TestClips, check_ids, find_test_lists
from dataset.prepare.pairs import prepare_pairs
from dataset.prepare.rows import FRAME_FORMATS, SPECT_FORMATS
from dataset.prepare.sheet import save_sheet
from dataset.prepare.test_files import check_flickr, prepare_vggss
from dataset.prepare.verify import verify
from dataset.prepare.videos import prepare_videos
from dataset.storage.layout import TRAIN_FOLDERS
from metadata import METADATA

SETS = {  # name inside the files' names, rows a file where none are asked for
    "flickr10k": ("10k", None),
    "flickr144k": ("144k", 14_400),
    "vggsound10k": ("10k", None),
    "vggsound144k": ("144k", 14_400),
    "custom": ("custom", None),
}


def pairs(args):
    train, test = prepare_pairs(
        args.manifest, args.out, args.workers, frame_format=args.frame_format, spect_format=args.spect_format
    )
    print(f"{Path(args.out) / 'Custom'}: {train} training items, {test} test items")


def videos(args):
    test_clips = TestClips(args.exclude)
    lists = ", ".join(test_clips.lists) or "no test lists (python -m metadata.download fetches them)"
    clips, others = list_clips(args.input)
    refuse_clips(clips, test_clips)
    print(f"{len(clips)} clips in {args.input}; checked against {lists}", flush=True)
    if others:
        print(f"{len(others)} files of other formats are ignored, such as {others[0]}")
    folder = Path(args.out) / TRAIN_FOLDERS[args.trainset]
    name, rows = SETS[args.trainset]
    rows = args.rows_per_shard or rows
    states = prepare_videos(clips, folder, name, rows, args.workers, args.frame_format, args.spect_format)
    print(", ".join(f"{count} {state}" for state, count in states.most_common()), f"(see {folder / 'prepared.csv'})")
    print(f"{states['excluded']} test clips excluded")
    if not states[OK]:
        raise ValueError(f"{args.input}: no clip could be used, see {folder / 'prepared.csv'}")


def vggss(args):
    states = prepare_vggss(args.videos, args.out, args.ids, args.boxes, args.workers)
    total = sum(states.values())
    print(", ".join(f"{count} {state}" for state, count in states.most_common()), f"of {total} test clips")
    if states[OK] < total:
        table = Path(args.out) / "VGG-Sound/5k_labeled/Data/prepared.csv"
        print(f"The set is not complete, and its scores are not VGG-SS's: {table} lists what is missing.")


def flickr_test(args):
    benchmark = BENCHMARKS["flickr"]
    ids = args.ids or find_list(Path(args.datasets) / benchmark.folder / benchmark.lists[0])
    number, problems = check_flickr(args.datasets, ids)
    _report([f"{number} ids, {number - len(problems)} of them with frame, sound and box"], problems)


def check(args):
    test_clips = TestClips(args.against)
    if not test_clips.lists:
        raise ValueError(f"{METADATA} has no test lists: fetch them with python -m metadata.download")
    lines, leaked = check_ids(args.list, test_clips)
    print("\n".join(lines))
    if leaked:
        raise SystemExit(1)


def verify_all(args):
    _report(*verify(args.datasets))


def sheet(args):
    rows = save_sheet(Path(args.datasets) / TRAIN_FOLDERS[args.trainset], args.out, args.num)
    print(f"{args.out}: {rows} rows")


def _report(found, problems):
    """Prints both; the command fails if there are problems."""
    print("\n".join([*found, *problems]))
    if problems:
        raise SystemExit(f"{len(problems)} problems")
    print("no problems")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line. The namespace's `run` is the command's function."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False, prog="python -m dataset.prepare", description="Write the HDF5 files to train on."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name, run, text):
        added = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.set_defaults(run=run)
        return added

    one = command("videos", videos, "clips with sound -> a training set")
    one.add_argument("--input", required=True, metavar="CLIPS", help="a folder, or a list of paths, one a line")
    one.add_argument("--trainset", required=True, choices=SETS, help="the training set to write")
    one.add_argument("--rows_per_shard", type=_count(1), help="rows a file (144k: 14400, otherwise all in one file)")
    one.add_argument(
        "--exclude",
        nargs="*",
        default=find_test_lists(),
        metavar="LIST",
        help="lists of clips to exclude (default: the test lists in metadata/; without a LIST: exclude none)",
    )
    _add_writing(one)
    _add_formats(one)

    one = command("pairs", pairs, "images with sounds, listed in a JSON file -> a training and a test set")
    one.add_argument("--manifest", required=True, metavar="FILE", help="JSON list: id, split, image, audio, boxes")
    _add_writing(one)
    _add_formats(one)

    one = command("vggss", vggss, "your clips of VGG-SS -> a test set")
    one.add_argument("--videos", required=True, metavar="CLIPS", help="a folder, or a list of paths, one a line")
    one.add_argument(
        "--ids",
        nargs="+",
        default=[METADATA / "vggss_test_4692.csv"],
        metavar="LIST",
        help="the test clips (for the extended set: vggss_test_5158.csv vggss_test_plus_silent.csv)",
    )
    one.add_argument("--boxes", default=METADATA / "vggss_test_5158.json", metavar="FILE", help="VGG-SS's boxes")
    _add_writing(one)

    one = command("flickr-test", flickr_test, "read every item of Flickr-SoundNet's test set once")
    one.add_argument("datasets", metavar="DATASETS", help="the data_path of training")
    one.add_argument("--ids", metavar="LIST", help="the test clips (default: flickr_test249_in5k.csv)")

    one = command("check-ids", check, "count the test clips in a list of training clips; fails if there are any")
    one.add_argument("list", metavar="LIST", help="ids, one a line")
    one.add_argument(
        "--against", nargs="+", default=find_test_lists(), metavar="LIST", help="default: the test lists in metadata/"
    )

    one = command("verify", verify_all, "read every array once and report what is wrong")
    one.add_argument("datasets", metavar="DATASETS", help="the data_path of training")

    one = command("sheet", sheet, "a picture of frames, regions and sounds of a training set")
    one.add_argument("datasets", metavar="DATASETS", help="the data_path of training")
    one.add_argument("--trainset", required=True, choices=[*SETS, "demo"])
    one.add_argument("--out", default="sheet.png", metavar="FILE", help="a PNG")
    one.add_argument("--num", type=_count(1), default=24, help="rows to show")
    return parser.parse_args(argv)


def _add_writing(parser):
    parser.add_argument("--out", required=True, metavar="DATASETS", help="the data_path of training")
    parser.add_argument("--workers", type=_count(0), default=os.cpu_count(), help="processes; 0: only this one")


def _add_formats(parser):
    parser.add_argument("--frame_format", choices=FRAME_FORMATS, default="uint8", help="how frames are stored")
    parser.add_argument("--spect_format", choices=SPECT_FORMATS, default="float32", help="how log-mel patches are")


def _count(least):
    """A type for argparse: a whole number from `least`."""

    def count(text):
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number from {least}")
        return int(text)

    return count


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    try:
        args.run(args)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from None
    except BrokenProcessPool:
        raise SystemExit("a worker process was killed, probably because memory ran out: use fewer --workers") from None
    except KeyboardInterrupt:
        raise SystemExit("stopped: the same command resumes after the last finished shard, or starts again") from None


if __name__ == "__main__":
    main()
