"""How many multiplications and additions SSPL's forward pass of one sample (two views, one clip) takes."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from models.pcm import PCM
from models.simsiam import SimSiamHead
from models.sspl import BACKBONES
from models.vggish import SoundNet


def sspl_costs(backbone="vgg16", size=224):
    """Billions of multiply-adds (the papers' GFLOPs) by part of the network; nothing is computed.

    Elementwise operations are not counted. The paper's numbers, 35.9 without the predictive coding module and 2.3 a
    cycle, follow from these with the sound network counted for each view and the one transposed convolution of stride 2
    by its output (tests/test_sspl.py).
    """
    side = size // 16
    with torch.device("meta"):
        view, features = torch.empty(2, 3, size, size), torch.empty(2, 512, side, side)
        sound, spect, pooled = torch.empty(2, 128), torch.empty(1, 3, 1, 96, 64), torch.empty(2, 512)
        pcms = [PCM(cycles).eval() for cycles in (0, 1)]
        first, second = (count(pcm, features, sound) for pcm in pcms)
        return {
            "frame network": count(BACKBONES[backbone]().eval(), view),
            "sound network": count(SoundNet(), spect),
            "head": count(SimSiamHead().eval(), pooled),
            "initialising pass": first,
            "cycle": second - first,
        }


def count(network, *inputs):
    with torch.no_grad():
        return count_flops(lambda: network(*inputs)) / 2e9


def count_flops(function):
    """Multiplications and additions of function(): products of matrices and convolutions, none of them twice."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def describe_sspl_costs(cycles, backbone="vgg16", size=224):
    """Lines for the screen: what each part costs, and the whole without and with `cycles` cycles of the PCM."""
    costs = sspl_costs(backbone, size)
    plain = costs["frame network"] + costs["sound network"] + costs["head"]
    total = plain + costs["initialising pass"] + cycles * costs["cycle"]
    return [
        f"forward pass of one sample at {size} pixels, {backbone}: billions of multiply-adds",
        *(f"  {name:18} {value:7.2f}" for name, value in costs.items()),
        f"  without the predictive coding module {plain:.1f}, with T = {cycles + 1} {total:.1f}",
        "  the paper: 2.3 a cycle, 35.9 without the module; it counts the sound network for each view,",
        "  and the transposed convolution of stride 2 by its output",
    ]
