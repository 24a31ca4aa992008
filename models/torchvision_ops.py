"""torchvision, importable beside a CPU build of torch: `from models.torchvision_ops import torchvision`.

PyPI's torchvision is compiled against CUDA torch. Beside a CPU torch its compiled operators cannot be loaded, and the
import fails with "operator torchvision::nms does not exist", because its Python side describes operators that were
not declared. Declaring the two schemas is enough: models and transforms.v2 never call them.
"""

from importlib.util import find_spec
from pathlib import Path

import torch


def _declare_missing_operators():
    folder = Path(find_spec("torchvision").origin).parent
    for library in [*folder.glob("_C*.so"), *folder.glob("_C*.pyd")]:
        try:
            torch.ops.load_library(library)  # what torchvision does first; loading it twice is harmless
            return None
        except OSError:  # its CUDA libraries are not here
            pass
    fragment = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        fragment.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return fragment


_FRAGMENT = _declare_missing_operators()  # kept: a fragment that is collected takes its declarations along

import torchvision  # noqa: E402  the order is the point

__all__ = ["torchvision"]
