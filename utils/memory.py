"""What becomes of the memory that tensors on a CPU have left."""

import ctypes
import sys

# Of glibc's malloc.h, and its defaults: what its moving thresholds come to with blocks as large as tensors.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
DEFAULTS = {M_MMAP_MAX: 65_536, M_MMAP_THRESHOLD: 2**25, M_TRIM_THRESHOLD: 2**26}
KEEPING = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1}  # no block has pages of its own, and none goes back


def keep_freed_memory(kept=True):
    """Lets the process hold on to freed memory for its next tensors (with glibc; elsewhere it does nothing).

    By default glibc gives back what a large tensor held, and the kernel zeroes new pages for the next one: a training
    step on two cores takes 9 to 17 % longer. The process stays as large as it ever was. kept=False: as by default.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        for parameter, value in (KEEPING if kept else DEFAULTS).items():
            mallopt(parameter, value)
