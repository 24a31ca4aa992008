"""Augmentation of spectrograms for training."""

from functools import partial

import torch

WIDEST = 10  # rows or columns; a band is narrower


def mask_bands(spectrograms: torch.Tensor, draws: torch.Tensor, swapped: bool = False) -> torch.Tensor:
    """Sets a band of frequencies and a band of times to 0 (FNAC; after SpecAugment, Park et al., Interspeech 2019).

    Args:
        spectrograms: (B, 1, F, T), log power: 0 is loud, not silent.
        draws: (B, 4) uniform in [0, 1): first row and number of rows, first column and number of columns.
        swapped: the first row is drawn from 0 ... T - 1, the first column from 0 ... F - 1, as in the authors' program:
            at 257 x 200 rows from 208 on are never masked, and 22 % of the bands of times lie outside.

    Returns a new tensor of the same shape. A band has 0 ... 9 rows or columns.
    """
    rows, columns = spectrograms.shape[2:]
    ranges = torch.tensor([columns if swapped else rows, WIDEST, rows if swapped else columns, WIDEST])
    first_row, height, first_column, width = (draws * ranges.to(draws)).long().T[..., None]
    row, column = torch.arange(rows, device=draws.device), torch.arange(columns, device=draws.device)
    in_rows = (row >= first_row) & (row < first_row + height)
    in_columns = (column >= first_column) & (column < first_column + width)
    return spectrograms.masked_fill((in_rows[:, :, None] | in_columns[:, None, :])[:, None], 0.0)


# By the values of --audio_masks.
AUDIO_MASKS = {"none": None, "corrected": mask_bands, "published": partial(mask_bands, swapped=True)}
