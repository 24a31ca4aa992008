"""Writing checkpoints."""

from pathlib import Path

import torch

from dataset.storage.atomic import replacing


def save(state, path):
    """Writes a checkpoint, atomically. Raises OSError with the reason where it cannot: then the old one is intact."""
    # torch's checksum of each tensor takes five times as long as writing it (2.4 s against 0.5 s for 1 GB).
    torch.serialization.set_crc32_options(False)
    try:
        with replacing(path, "wb") as file:
            torch.save(state, file)
    except (OSError, RuntimeError) as error:  # torch says RuntimeError where the disk is full
        reason = _reason(error)
        kept = "what it held before is intact" if Path(path).exists() else "nothing is in its place"
        raise OSError(f"{path} cannot be written ({reason}): {kept}; free space or name another --ckpt") from None


def _reason(error):
    """What the system said, which may be behind what torch made of it."""
    told, first = error, str(error).splitlines()[0]
    while told is not None:
        if getattr(told, "strerror", None):
            return told.strerror
        told = told.__cause__ or told.__context__
    return first
