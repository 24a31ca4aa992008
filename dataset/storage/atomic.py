"""Files that are whole or not there."""

import os
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path, mode, **options):
    """Opens a file so that `path` holds the old one or the whole new one, whatever happens meanwhile."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        with open(partial, mode, **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        partial.unlink(missing_ok=True)  # half a file is of no use, and takes space that may be what was missing
        raise
    os.replace(partial, path)


def write_text(path, text):
    with replacing(path, "w") as file:
        file.write(text)
