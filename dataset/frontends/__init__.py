"""Front ends: a sound as an audio network reads it."""

from dataset.frontends.log_mel import log_mel_patches, scale

__all__ = ["log_mel_patches", "scale"]
