"""main.py with networks of a few thousand weights: quick to start, to save and to kill.

What is drawn at random within a forward pass (dropout) must survive as well, so the small sound network has that.
"""

import os
import sys
from pathlib import Path

import torch
from torch import nn

from models import sacl
from utils.errors import one_sentence_errors


class SmallFrameNet(nn.Module):
    """(B, 3, H, W) -> (B, 32, H / 16, W / 16)."""

    def __init__(self):
        super().__init__()
        layers = []
        for before, after in ((3, 16), (16, 32)):
            layers += [nn.Conv2d(before, after, 4, stride=4), nn.BatchNorm2d(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, image):
        return self.layers(image)


class SmallSoundNet(nn.Module):
    """(B, S, 1, 96, 64) -> (B, 128), (B, 32)."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Sequential(nn.AvgPool2d((32, 8)), nn.Flatten(), nn.Linear(24, 128), nn.ReLU())
        self.fc = nn.Sequential(nn.Dropout(0.2), nn.Linear(128, 32))

    def forward(self, audio):
        embedding = self.embedding(audio.flatten(0, 1))
        return (x.unflatten(0, audio.shape[:2]).mean(dim=1) for x in (embedding, self.fc(embedding)))


def main():
    """As main.py, but for the networks; SMALL_BREAKS names what goes wrong on purpose. Ranks other than 0 that open a
    file of the run or of the data for writing fail."""
    import main as program

    if os.environ.get("RANK", "0") != "0":
        sys.addaudithook(refuse_to_write)
    sacl.FrameNet, sacl.SoundNet = SmallFrameNet, SmallSoundNet
    BREAKS.get(os.environ.get("SMALL_BREAKS"), lambda: None)()
    program.main()


def refuse_to_write(event, details):
    """An audit hook of a process that is not to write below the folder it runs in."""
    writes = event == "open" and isinstance(details[0], str) and details[2] & (os.O_WRONLY | os.O_RDWR)
    if writes and Path(details[0]).absolute().is_relative_to(Path.cwd()):
        raise PermissionError(f"rank {os.environ['RANK']} writes {details[0]}")


def rank_fails():
    """Rank 1 fails at its first batch, as a broken file would make it."""
    from dataset.train_loader import TrainLoader

    if os.environ.get("RANK") == "1":
        TrainLoader.start = lambda *_: (_ for _ in ()).throw(ValueError("frame 7 is broken: prepare it again"))


def second_step_is_not_finite():
    """The loss of the second call is not a number, and with it the gradient."""
    forward, calls = sacl.SACLObjective.forward, []

    def broken(self, outputs, batch):
        calls.append(None)
        loss, diagnostics = forward(self, outputs, batch)
        return loss * (torch.nan if len(calls) == 2 else 1), diagnostics

    sacl.SACLObjective.forward = broken


BREAKS = {"rank": rank_fails, "loss": second_step_is_not_finite}

if __name__ == "__main__":
    with one_sentence_errors():
        main()
