"""Files in folders."""

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: str | Path) -> Iterator[Path]:
    """The files in a folder and its subfolders, in sorted order. Symbolic links to folders are followed, once each."""
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        if (real := os.path.realpath(place)) in seen:  # a link back would never end
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(place) / name for name in sorted(names))


def files_by_stem(folder: str | Path, suffix: str) -> dict[str, list[Path]]:
    """Files of a suffix (in upper or lower case) below a folder, by their names without it."""
    found = {}
    for path in files_below(folder):
        if path.suffix.lower() == suffix:
            found.setdefault(path.stem, []).append(path)
    return found


def the_file(found: dict[str, list[Path]], name: str) -> Path | None:
    """The file of a name in files_by_stem's result, None where there is none; ValueError where there are two."""
    paths = found.get(name, [])
    if len(paths) > 1:
        raise ValueError(f"{paths[0]} and {paths[1]} have the same name: remove or rename one")
    return paths[0] if paths else None
