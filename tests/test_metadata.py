"""metadata.download: verified, atomic, never over a different file."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from dataset.benchmarks import BENCHMARKS
from metadata.download import count_rows, download, read_manifest

ROOT = Path(__file__).resolve().parent.parent
REAL_LISTS = ROOT.parent / "shared" / "metadata"
CSV = b"a_000001\r\nb_000002,7\r\n\r\nc_000003\r\n"
BOXES = json.dumps([{"file": "a", "bbox": [[0, 0, 1, 1]]}, {"file": "b", "bbox": []}]).encode()


def entry(name, content, rows):
    source = f"https://example.invalid/{name}"
    sha256 = hashlib.sha256(content).hexdigest()
    return {"name": name, "source": source, "licence": "MIT", "sha256": sha256, "rows": rows}


@pytest.fixture
def origin(tmp_path):
    folder = tmp_path / "with blanks"
    folder.mkdir()
    (folder / "ids.csv").write_bytes(CSV)
    (folder / "boxes.json").write_bytes(BOXES)
    return folder


def test_copies_verifies_and_keeps(origin, tmp_path):
    ids = entry("ids.csv", CSV, 3)
    target = tmp_path / "to" / "ids.csv"
    assert "3 rows from" in download(ids, target.parent, origin)
    assert target.read_bytes() == CSV
    before = target.stat().st_mtime_ns
    assert "already here" in download(ids, target.parent, tmp_path / "nowhere")
    assert target.stat().st_mtime_ns == before


def test_reads_urls(origin, tmp_path):
    download(entry("ids.csv", CSV, 3), tmp_path, origin.as_uri() + "/")
    assert (tmp_path / "ids.csv").read_bytes() == CSV


@pytest.mark.parametrize(
    "wrong, message", [({"sha256": "0" * 64}, "sha256"), ({"rows": 4}, "3 rows, the manifest says 4")]
)
def test_wrong_contents_leave_nothing(origin, tmp_path, wrong, message):
    to = tmp_path / "to"
    with pytest.raises(ValueError, match=message):
        download(entry("ids.csv", CSV, 3) | wrong, to, origin)
    assert list(to.iterdir()) == []


def test_a_different_file_is_not_overwritten(origin, tmp_path):
    (tmp_path / "ids.csv").write_bytes(b"mine\n")
    with pytest.raises(ValueError, match="move it away"):
        download(entry("ids.csv", CSV, 3), tmp_path, origin)
    assert (tmp_path / "ids.csv").read_bytes() == b"mine\n"


def test_missing_source(tmp_path):
    with pytest.raises(FileNotFoundError, match="--from"):
        download(entry("ids.csv", CSV, 3), tmp_path, tmp_path / "nowhere")
    with pytest.raises(ConnectionError, match="--from"):
        download(entry("ids.csv", CSV, 3), tmp_path, (tmp_path / "nowhere").as_uri())
    with pytest.raises(ConnectionError, match="--from"):
        download(entry("ids.csv", CSV, 3), tmp_path, "nosuch://place")


def test_count_rows():
    assert count_rows(CSV, "ids.csv") == 3
    assert count_rows(BOXES, "boxes.json") == 2


def test_our_manifest_is_complete():
    lists = {one["name"]: one for one in read_manifest()}
    assert {Path(one).name for benchmark in BENCHMARKS.values() for one in benchmark.lists} == set(lists)
    rows = {"flickr_test249_in5k.csv": 249, "vggss_test_4692.csv": 4692, "vggss_test_5158.json": 5158}
    assert {name: lists[name]["rows"] for name in rows} == rows
    readme = (ROOT / "metadata" / "README.md").read_text()
    for one in lists.values():
        assert one["source"].startswith("https://raw.githubusercontent.com/")
        assert one["licence"] and len(one["sha256"]) == 64 and one["name"] in readme


def command(*arguments):
    line = [sys.executable, "-m", "metadata.download", *map(str, arguments)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_command_line(origin, tmp_path):
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps([entry("ids.csv", CSV, 3), entry("boxes.json", BOXES, 2)]))
    done = command("--manifest", manifest, "--from", origin, "--to", tmp_path / "to")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 2, done.stderr
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == ["boxes.json", "ids.csv"]
    failed = command("--manifest", manifest, "--from", tmp_path / "nowhere", "--to", tmp_path / "other")
    assert failed.returncode == 1 and "is missing" in failed.stderr and len(failed.stderr.splitlines()) == 1


@pytest.mark.skipif(not REAL_LISTS.is_dir(), reason="the published lists are not at hand (../shared/metadata)")
def test_the_real_lists(tmp_path):
    done = command("--from", REAL_LISTS, "--to", tmp_path)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == len(read_manifest()), done.stderr
