"""Brings the benchmarks' id and box lists into this folder, verified: python -m metadata.download [--from SOURCE]"""

import argparse
import hashlib
import json
import os
from http.client import HTTPException
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

HERE = Path(__file__).parent
TIMEOUT = 60  # seconds without an answer


def read_manifest(path=HERE / "manifest.json"):
    """The lists to fetch: dicts of name, what, source (URL), licence, sha256 (hex) and rows (int)."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def download(entry, to=HERE, origin=None):
    """Brings one list into the folder `to`; it gets its name only once its sha256 and row count are right.

    entry: one dict of the manifest. origin: a folder or URL prefix that has the file; None means the entry's source.
    Returns a line that says what was done. Raises FileNotFoundError if the origin's folder has no such file,
    ConnectionError if the URL cannot be read, ValueError if the contents are not the manifest's or a different file
    of that name is in the way.
    """
    name, target = entry["name"], Path(to) / entry["name"]
    if target.exists():
        _verify(target.read_bytes(), entry, target, "move it away and run this again")
        return f"{name}: already here, {entry['rows']} rows"
    place = _place(name, origin) if origin else entry["source"]
    content = _read(place)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(name + ".partial")
    try:
        partial.write_bytes(content)
        _verify(partial.read_bytes(), entry, place, "get the file from another place with --from FOLDER_OR_URL")
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return f"{name}: {entry['rows']} rows from {place} (licence: {entry['licence']})"


def count_rows(content, name):
    """Rows of a list: ids in a CSV (lines that are not blank), annotated clips in a JSON list.

    content: bytes of the file; name: its name. Raises ValueError if it is neither text nor JSON.
    """
    text = content.decode("utf-8")
    return len(json.loads(text)) if name.endswith(".json") else sum(1 for line in text.splitlines() if line.strip())


def _is_url(origin):
    return "://" in str(origin)


def _place(name, origin):
    """Where `name` lies in a folder (Path) or under an URL prefix (str)."""
    return f"{str(origin).rstrip('/')}/{quote(name)}" if _is_url(origin) else Path(origin) / name


def _read(place):
    """Bytes of a file or URL; the errors are those of `download`."""
    try:
        if not _is_url(place):
            return Path(place).read_bytes()
        with urlopen(place, timeout=TIMEOUT) as answer:
            return answer.read()
    except FileNotFoundError:
        raise FileNotFoundError(f"{place} is missing: name the folder that holds the lists with --from") from None
    except (OSError, HTTPException, ValueError) as error:
        message = (
            f"{place} cannot be read ({error}): check the connection, or name another place with --from FOLDER_OR_URL"
        )
        raise ConnectionError(message) from None


def _verify(content, entry, place, advice):
    """Raises ValueError unless the bytes have the sha256 and the number of rows of the manifest's entry."""
    found = hashlib.sha256(content).hexdigest()
    if found != entry["sha256"]:
        raise ValueError(f"{place} has sha256 {found[:12]}..., the manifest says {entry['sha256'][:12]}...: {advice}")
    rows = count_rows(content, entry["name"])
    if rows != entry["rows"]:
        raise ValueError(f"{place} has {rows} rows, the manifest says {entry['rows']}: {advice}")


def main(arguments=None):
    """The command line; `arguments` as in sys.argv[1:]. Prints one line a list."""
    parser = argparse.ArgumentParser(prog="python -m metadata.download", description="Fetch and verify the id lists.")
    parser.add_argument("--from", dest="origin", metavar="FOLDER_OR_URL", help="default: each list's public source")
    parser.add_argument("--to", default=HERE, metavar="FOLDER", help="default: metadata/, where the readers look")
    parser.add_argument("--manifest", default=HERE / "manifest.json", metavar="FILE", help="what to fetch")
    args = parser.parse_args(arguments)
    try:
        for entry in read_manifest(args.manifest):
            print(download(entry, args.to, args.origin), flush=True)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
