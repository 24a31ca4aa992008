"""The encoded sounds of a test set."""

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Subset

from dataset.storage.workers import worker_options


class Sounds(Dataset):
    """The sounds of a test set as the audio network reads them; zeros, and readable False, for unreadable ones."""

    def __init__(self, test_set):
        self.test_set = test_set

    def __len__(self):
        return len(self.test_set)

    def __getitem__(self, index):
        try:
            return {"audio": self.test_set.audio(index), "readable": True}
        except (FileNotFoundError, ValueError):  # the evaluation reports it, with the item's name
            return {"audio": torch.zeros(self.test_set.front_end.shape), "readable": False}


@torch.no_grad()
def encode_sounds(model, test_set, device: torch.device, batch_size: int, workers: int) -> torch.Tensor:
    """Encoded sound of each item, (n, C), NaN where it is missing or cannot be read."""
    model.eval()
    missing = test_set.find_missing()
    at_hand = [i for i, item_id in enumerate(test_set.ids) if item_id not in missing]
    if not at_hand:
        raise ValueError("there is no item to score: check the test list and the files it names")
    parts = []
    for batch in DataLoader(Subset(Sounds(test_set), at_hand), batch_size, **worker_options(workers)):
        audio = model.encode_sound(batch["audio"].to(device))
        parts.append(audio.masked_fill(~batch["readable"].to(device)[:, None], float("nan")))
    encoded = torch.cat(parts)
    sounds = encoded.new_full((len(test_set), encoded.shape[1]), float("nan"))
    sounds[at_hand] = encoded
    return sounds


def read_waveform(waveform: np.ndarray, front_end) -> torch.Tensor:
    """A waveform as the audio network reads it: (1, *front_end.shape)."""
    return torch.from_numpy(front_end.compute(waveform))[None]
