"""The encoded sounds of a test set."""

import torch
from torch.utils.data import DataLoader, Dataset, Subset

from dataset.frontends.log_mel import log_mel_patches, scale
from dataset.media.audio import SECONDS
from dataset.storage.workers import start_worker


class Sounds(Dataset):
    """The spectrograms of a test set; of a sound that cannot be read only zeros, and readable is False."""

    def __init__(self, test_set):
        self.test_set = test_set

    def __len__(self):
        return len(self.test_set)

    def __getitem__(self, index):
        try:
            return {"spect": self.test_set.spect(index), "readable": True}
        except (FileNotFoundError, ValueError):  # the evaluation reports it, with the item's name
            return {"spect": torch.zeros(SECONDS, 1, 96, 64), "readable": False}


@torch.no_grad()
def encode_sounds(model, test_set, device, batch_size, workers):
    """Encoded sound of each item, (n, C), NaN where it is missing or cannot be read."""
    model.eval()
    missing = test_set.find_missing()
    at_hand = [i for i, item_id in enumerate(test_set.ids) if item_id not in missing]
    if not at_hand:
        raise ValueError("there is no item to score: check the test list and the files it names")
    loader = DataLoader(Subset(Sounds(test_set), at_hand), batch_size, num_workers=workers, worker_init_fn=start_worker)
    parts = []
    for batch in loader:
        audio = model.encode_sound(batch["spect"].to(device))
        parts.append(audio.masked_fill(~batch["readable"].to(device)[:, None], float("nan")))
    encoded = torch.cat(parts)
    sounds = encoded.new_full((len(test_set), encoded.shape[1]), float("nan"))
    sounds[at_hand] = encoded
    return sounds


def spect_of(waveform):
    """A waveform (48000,) as the network reads it: (1, 3, 1, 96, 64)."""
    return torch.from_numpy(log_mel_patches(scale(waveform)))[None, :, None]
