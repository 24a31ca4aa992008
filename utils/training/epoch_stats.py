"""Means of an epoch: the loss and the diagnostics of its steps, and what they warn of."""

import torch

from models.diagnostics import Diagnostic
from utils import distributed

SKIPPED = "steps were skipped because their gradient was not finite"


class EpochStats:
    """Sums over the steps of an epoch. Adding to them never waits for the device; non_finite_steps and means do."""

    def __init__(self, device: torch.device):
        self.device, self.diagnostics = device, {}
        self.start()

    def start(self, state: dict | None = None):
        """An epoch begins, or goes on from a state()."""
        state = state or {"names": [], "sums": [], "taken": 0, "skipped": 0}
        self.names, self.taken, self.skipped = state["names"], state["taken"], state["skipped"]
        self.sums = torch.tensor(state["sums"], device=self.device)
        self.unread = []

    def state(self) -> dict:
        """Plain values, for a checkpoint. Every step was read (non_finite_steps)."""
        return {"names": self.names, "sums": self.sums.tolist(), "taken": self.taken, "skipped": self.skipped}

    def add(self, step: int, loss: torch.Tensor, diagnostics: dict[str, Diagnostic], skipped: torch.Tensor):
        """A step's number, loss and diagnostics, and whether it was left out (NonFiniteGuard.skipped)."""
        numbers = [loss.detach().float(), *(diagnostic.value for diagnostic in diagnostics.values())]
        values = torch.where(skipped, 0.0, torch.stack(numbers))
        self.sums = self.sums + values if self.names else values
        self.names, self.diagnostics = ["loss", *diagnostics], diagnostics
        self.unread.append((step, skipped))

    def non_finite_steps(self) -> list[int]:
        """Numbers of the steps left out since this was last called."""
        if not self.unread:
            return []
        steps, flags = zip(*self.unread, strict=True)
        skipped = [step for step, flag in zip(steps, torch.stack(flags).tolist(), strict=True) if flag]
        self.unread = []
        self.taken, self.skipped = self.taken + len(steps) - len(skipped), self.skipped + len(skipped)
        return skipped

    @property
    def loss(self) -> float:
        """The mean loss of this process so far."""
        return float(self.sums[0]) / max(1, self.taken)

    def means(self) -> dict[str, float]:
        """Of all steps taken and all processes: {"loss": ..., a diagnostic: ..., "skipped": share of steps left out}.

        Raises ValueError where no step was taken.
        """
        if self.taken == 0:
            raise ValueError("no step of this epoch had a finite gradient: lower the learning rate, check the data")
        sums = distributed.mean(self.sums).tolist()
        means = {name: total / self.taken for name, total in zip(self.names, sums, strict=True)}
        return {**means, "skipped": self.skipped / (self.taken + self.skipped)}

    def warnings(self, means: dict[str, float]) -> list[str]:
        """Sentences about the means that are beyond the limits of their diagnostics."""
        found = [
            f"{one.warning} ({name} {means[name]:.2g})"
            for name, one in self.diagnostics.items()
            if (means[name] > one.limit if one.above else means[name] < one.limit)
        ]
        return found + ([f"{SKIPPED} (skipped {means['skipped']:.2g})"] if means["skipped"] else [])
