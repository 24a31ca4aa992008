"""Provenance of a result: lists, protocol, weights and code. Results are compared only where these agree."""

import hashlib
import json
import subprocess
from pathlib import Path

from dataset.benchmarks.annotations import GT_SIZE
from metadata.download import read_manifest
from models import METHODS, weights_argument
from models.weights import sha256
from utils.evaluation.thresholds import RULES

ROOT = Path(__file__).parents[2]

# What every rule shares.
PROTOCOL = {
    "upsampling": f"bilinear to {GT_SIZE}",
    "normalisation": "min-max of each map",
    "success": "consensus IoU >= 0.5",
    "boxes": "cut to whole pixels; inverted and empty ones hold no pixel",
    "without_box": "an item without a valid box scores 0, and counts",
}


def take_fingerprint(args, test_set, summary: dict) -> dict:
    """args: of test.py. summary: of the Evaluation. Returns plain values, see docs/testing.md."""
    return {
        "testset": args.testset,
        "lists": describe_lists(test_set.benchmark),
        "annotations": describe_annotations(test_set.benchmark),
        "sounds": f"shuffled (seed {args.seed})" if args.shuffle_sounds else "own",
        "audio_input": test_set.audio_source,
        "ogl": args.ogl,
        "rules": {rule: RULES[rule] for rule in args.rules},
        **PROTOCOL,
        "listed": len(test_set),
        "n": summary["n"],
        "missing": len(summary["missing"]),
        "partial": summary["partial"],
        "method": args.method,
        "image_size": args.imgSize,
        "checkpoint": describe_checkpoint(args),
        "code": code_version(),
    }


def describe_lists(benchmark) -> list[dict]:
    """Name and sha256 of each file that says what the test set is, and whether it is the published one."""
    known = {entry["sha256"] for entry in read_manifest()}
    digests = {path.name: sha256(path) for path in benchmark.lists}
    return [{"name": name, "sha256": digest, "published": digest in known} for name, digest in digests.items()]


def describe_annotations(benchmark) -> str:
    """Where the ground truth is; where each item has a file of its own, the sha256 over their names and contents."""
    files = [path for path in map(benchmark.annotation, range(len(benchmark))) if path]
    if not files:
        return "in the lists"
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\0" + (path.read_bytes() if path.is_file() else b"missing") + b"\0")
    return f"{len(files)} {files[0].suffix} files, sha256 {digest.hexdigest()}"


def describe_checkpoint(args) -> dict:
    """The files that were scored, and the set on which their run selected them."""
    files = {part: getattr(args, weights_argument(part)) for part in METHODS[args.method].parts}
    note = Path(next(iter(files.values()))).parent / "best.json"
    selected_on = json.loads(note.read_text())["selected_on"] if note.is_file() else "not known"
    return {
        **{name: {"file": str(path), "sha256": sha256(path)} for name, path in files.items()},
        "selected_on": selected_on,
    }


def code_version() -> str:
    """git describe of the code; without git, a hash over the Python files."""
    try:
        command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--tags"]
        if (ROOT / ".git").exists():
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        pass
    sources = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py") if "tests" not in path.parts)
    content = b"".join(str(path).encode() + (ROOT / path).read_bytes() for path in sources)
    return f"sources {hashlib.sha256(content).hexdigest()[:12]}"
