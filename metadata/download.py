"""Fetches and verifies the benchmarks' id and box lists: python -m metadata.download [--from FOLDER_OR_URL]"""

import argparse
import hashlib
import json
import os
import tempfile
from http.client import HTTPException
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

from metadata import METADATA

MANIFEST = METADATA / "manifest.json"
TIMEOUT = 60  # seconds without an answer


def read_manifest(path: str | Path = MANIFEST) -> list[dict]:
    """The lists to fetch: dicts of name, what, source (URL), licence, sha256 (hex) and rows (int)."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def download(entry: dict, to: str | Path = METADATA, origin: str | Path | None = None) -> str:
    """Fetches one list into the folder `to`; the file appears only after its sha256 and row count are verified.

    Args:
        entry: one dict of read_manifest.
        origin: a folder or URL prefix that has the file; None: the entry's source.
    Returns: a sentence that says what was done.
    Raises: FileNotFoundError, ConnectionError or ValueError, naming the file or URL.
    """
    name, target = entry["name"], Path(to) / entry["name"]
    if Path(name).name != name:
        raise ValueError(f"the manifest's name {name!r} leads out of {to}: correct the manifest")
    if target.exists():
        _verify(target.read_bytes(), entry, target, "move it away and run this again")
        return f"{name}: already here, {entry['rows']} rows"
    if origin is None:
        source = entry["source"]
    else:
        source = f"{str(origin).rstrip('/')}/{quote(name)}" if "://" in str(origin) else Path(origin) / name
    content = _read(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    _verify(content, entry, source, "get the file from another place with --from FOLDER_OR_URL")
    with tempfile.TemporaryDirectory(dir=to, suffix=".partial") as folder:  # a new name: no link is written through
        partial = Path(folder) / name
        partial.write_bytes(content)
        os.replace(partial, target)
    return f"{name}: {entry['rows']} rows from {source} (licence: {entry['licence']})"


def count_rows(content: bytes, name: str) -> int:
    """Rows of a list: lines of a text that are not blank, items of a JSON list."""
    text = content.decode("utf-8")
    return len(json.loads(text)) if name.endswith(".json") else sum(1 for line in text.splitlines() if line.strip())


def _read(source):
    """Bytes of a file or URL."""
    try:
        if "://" not in str(source):
            return Path(source).read_bytes()
        with urlopen(source, timeout=TIMEOUT) as answer:
            return answer.read()
    except FileNotFoundError:
        raise FileNotFoundError(f"{source} is missing: name the folder that holds the lists with --from") from None
    except (OSError, HTTPException, ValueError) as error:
        advice = "check the connection, or name another place with --from FOLDER_OR_URL"
        raise ConnectionError(f"{source} cannot be read ({error}): {advice}") from None


def _verify(content, entry, source, advice):
    """Raises ValueError unless the bytes have the sha256 and the number of rows of the manifest's entry."""
    found, expected = hashlib.sha256(content).hexdigest(), entry["sha256"]
    if found != expected:
        raise ValueError(f"{source} has sha256 {found[:12]}..., the manifest says {expected[:12]}...: {advice}")
    if (rows := count_rows(content, entry["name"])) != entry["rows"]:
        raise ValueError(f"{source} has {rows} rows, the manifest says {entry['rows']}: {advice}")


def main(argv: list[str] | None = None) -> None:
    """The command line; prints one line a list."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False, prog="python -m metadata.download", description="Fetch and verify the id lists."
    )
    parser.add_argument("--from", dest="origin", metavar="FOLDER_OR_URL", help="default: each list's public source")
    parser.add_argument("--to", default=METADATA, metavar="FOLDER", help="default: metadata/, where the readers look")
    parser.add_argument("--manifest", default=MANIFEST, metavar="FILE", help="what to fetch")
    args = parser.parse_args(argv)
    try:
        for entry in read_manifest(args.manifest):
            print(download(entry, args.to, args.origin), flush=True)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
