"""How an epoch goes: steps that must not reach the weights, the mean loss, and a method's early signs of trouble."""

import torch

from utils import distributed

# sign -> (value at which something is wrong, whether above it is, what is wrong). All signs lie in 0 ... 1; spreads of
# cosines start above 0.01 even with random weights.
LIMITS = {
    "similarity_spread": (1e-3, False, "collapse: an image is as similar to one sound as to any other"),
    "sound_spread": (1e-3, False, "dead sound branch: all sounds get the same features"),
    "projection_spread": (0.1, False, "collapse: all samples get the same projection"),
    "empty_masks": (0.5, True, "most anchors have an empty mask, and so no place to learn from"),
    "positives_without_gradient": (0.5, True, "most anchors' own sound gets no gradient"),
    "skipped": (0.0, True, "steps were skipped because their gradient was not finite"),
}


class Guard:
    """Lets an optimizer step only where the gradient is finite, without waiting for the device to say so.

    With several processes the gradient is the same in all, and so is what they decide. keep_buffers: also take back
    what the forward passes of a step left out have counted (batch norm's running statistics).
    """

    def __init__(self, optimizer, network, keep_buffers):
        self.optimizer, self.network, self.keep_buffers = optimizer, network, keep_buffers
        for group in optimizer.param_groups:
            if group.get("momentum"):  # SGD would begin its average with the first gradient, even a broken one
                for weight in group["params"]:
                    optimizer.state[weight].setdefault("momentum_buffer", torch.zeros_like(weight))

    def begin(self):
        """Before the forward passes of a step."""
        self.optimizer.zero_grad()
        self.kept = [buffer.clone() for buffer in self.network.buffers()] if self.keep_buffers else []

    @torch.no_grad()
    def step(self):
        """After the backward pass. Returns whether the step was left out, as a bool tensor on the device."""
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        norm = torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
        broken = ~torch.isfinite(norm)
        # What torch.amp.GradScaler does with fused optimizers: where found_inf is 1, their kernels change nothing.
        self.optimizer.found_inf = broken.float()
        self.optimizer.step()
        if self.keep_buffers:
            for buffer, value in zip(self.network.buffers(), self.kept, strict=True):
                buffer.copy_(torch.where(broken, value, buffer))
        return broken


class Health:
    """Sums over the steps of an epoch. Adding to them never waits for the device; broken_steps and means do."""

    def __init__(self, device):
        self.device = device
        self.start()

    def start(self, state=None):
        """An epoch begins, or goes on from a state()."""
        state = state or {"names": [], "sums": [], "taken": 0, "skipped": 0}
        self.names, self.taken, self.skipped = state["names"], state["taken"], state["skipped"]
        self.sums = torch.tensor(state["sums"], device=self.device)
        self.unread = []

    def state(self):
        """Plain values, for a checkpoint. Every step was looked at (broken_steps)."""
        return {"names": self.names, "sums": self.sums.tolist(), "taken": self.taken, "skipped": self.skipped}

    def add(self, step, loss, signs, broken):
        """A step's number, loss and signs (dict of scalar tensors), and whether it was left out (Guard.step)."""
        values = torch.where(broken, 0.0, torch.stack([loss.detach().float(), *signs.values()]))
        self.sums = self.sums + values if self.names else values
        self.names = ["loss", *signs]
        self.unread.append((step, broken))

    def broken_steps(self):
        """Numbers of the steps left out since this was last asked."""
        if not self.unread:
            return []
        steps, flags = zip(*self.unread, strict=True)
        broken = [step for step, flag in zip(steps, torch.stack(flags).tolist(), strict=True) if flag]
        self.unread = []
        self.taken, self.skipped = self.taken + len(steps) - len(broken), self.skipped + len(broken)
        return broken

    def means(self):
        """Of all steps taken and all processes: {"loss": ..., a sign: ..., "skipped": share of steps left out}.

        Raises ValueError where no step was taken.
        """
        if self.taken == 0:
            raise ValueError("no step of this epoch had a finite gradient: lower the learning rate, check the data")
        sums = distributed.mean(self.sums).tolist()
        means = {name: total / self.taken for name, total in zip(self.names, sums, strict=True)}
        return {**means, "skipped": self.skipped / (self.taken + self.skipped)}


def warnings_of(means):
    """Sentences about the signs that are beyond their limits."""
    found = []
    for name, (limit, above, sentence) in LIMITS.items():
        if name in means and (means[name] > limit if above else means[name] < limit):
            found.append(f"{sentence} ({name} {means[name]:.2g})")
    return found
