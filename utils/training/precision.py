"""Choice of autocast precision."""

import torch


def choose_autocast(name: str, device: torch.device) -> torch.autocast:
    """A reusable context manager in which networks compute with the type of choose_precision."""
    precision = choose_precision(name, device)
    return torch.autocast(device.type, precision, enabled=precision != torch.float32)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """torch.bfloat16 or torch.float32: name is "float32", "bfloat16", or "auto" (bfloat16 where the hardware gains).

    On a CPU that means AMX or AVX-512 with bf16 units: without them bfloat16 is emulated, and slower than float32.
    """
    if name != "auto":
        return getattr(torch, name)
    if device.type == "cuda":
        gains = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")  # no public name for them yet
        gains = any(getattr(torch.cpu, probe, bool)() for probe in probes)
    return torch.bfloat16 if gains else torch.float32
