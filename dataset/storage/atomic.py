"""Atomic file writes."""

import os
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | Path, mode: str, **options):
    """Opens a temporary file that replaces `path` at the end: a crash leaves the old file, or the whole new one."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        with open(partial, mode, **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        partial.unlink(missing_ok=True)  # half a file is of no use, and a full disk may be the reason
        raise
    os.replace(partial, path)


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file atomically."""
    with replacing(path, "w") as file:
        file.write(text)
