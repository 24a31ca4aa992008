"""One process, or several started by torchrun: their ranks, their collectives, and a watch over those that wait."""

import gc
import itertools
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from models.gather import rank, world_size

BEAT = 2.0  # seconds between two heartbeats
SILENCE = 45.0  # seconds without a heartbeat after which a process counts as dead
NOTICE = 60.0  # seconds between two messages of a process that waits

# Published to the other processes: the number of collectives entered, of reports since then, and the last report.
_own = (0, 0, "starting")


def report(text: str) -> None:
    """Says what this process is doing, "evaluation, item 120 of 4692". Each call counts as progress, and costs nothing.

    Processes that wait for this one quote the text, and wait as long as there is progress.
    """
    global _own
    _own = (_own[0], _own[1] + 1, text)


def _enter_collective() -> None:
    global _own
    _own = (_own[0] + 1, 0, _own[2])


class _Watch:
    """Two threads that know what the other processes do, and end this one if it waits for one that does not come.

    The first exchanges lines [heartbeat, *_own] through the store. The second judges them, and does not use the store:
    if the store's machine vanishes, the first thread hangs, and no heartbeat changes any more. Time is counted in this
    process's own beats, so that one that was suspended does not blame the others.

    store: this object's own connection to it. minutes: how long to wait for a process that makes no progress.
    Raises ConnectionError if a process has not started by then.
    """

    def __init__(self, store: dist.Store, rank: int, world_size: int, minutes: float):
        self.store, self.rank, self.minutes, self.stop = store, rank, minutes, threading.Event()
        self.keys, self.lines = [f"process {i}" for i in range(world_size)], [[0, *_own]] * world_size
        self.publish(0)
        try:
            store.wait(self.keys, timedelta(minutes=minutes))
        except dist.DistError:
            absent = ", ".join(key for key in self.keys if not store.check([key]))
            raise ConnectionError(f"{absent} did not start within {minutes:g} minutes") from None
        self.threads = [threading.Thread(target=loop, daemon=True) for loop in (self.exchange, self.judge)]
        for thread in self.threads:
            thread.start()

    def leave(self) -> None:
        """Ends the threads, for the interpreter must not end while they run; the others expect no further heartbeat."""
        self.stop.set()
        for thread in self.threads:
            thread.join(timeout=5)

    def publish(self, beat: int | None) -> None:
        self.store.set(self.keys[self.rank], json.dumps([beat, *_own]))

    def exchange(self) -> None:
        try:
            for beat in itertools.count(1):
                self.publish(beat)
                self.lines = [json.loads(line) for line in self.store.multi_get(self.keys)]
                if self.stop.wait(BEAT):
                    return self.publish(None)
        except RuntimeError:  # the process that held the store has ended: the process group notices that by itself
            self.stop.set()

    def judge(self) -> None:
        silent, idle = ([0.0] * len(self.keys) for _ in range(2))  # seconds without a heartbeat, without progress
        before = self.lines
        while not self.stop.wait(BEAT):
            now = [*self.lines]
            now[self.rank] = [None, *_own]
            for i in range(len(now)):
                beats = now[i][0] is None or now[i][0] != before[i][0]  # None: it has left
                silent[i] = 0 if beats else silent[i] + BEAT
                idle[i] = idle[i] + BEAT if now[i][1:] == before[i][1:] else 0
            before, waited, late = now, idle[self.rank], self.late()
            dead = [i for i in range(len(now)) if silent[i] >= SILENCE]
            stuck = [i for i in late if idle[i] >= 60 * self.minutes]
            if dead and waited >= SILENCE:
                _end(f"process {self.rank} has lost {self.describe(dead)}: no heartbeat for {SILENCE:g} s")
            if stuck and waited >= 60 * self.minutes:
                _end(self.waited_for(stuck))
            first = self.rank == min(i for i in range(len(now)) if i not in late)  # of those that wait
            if first and late and waited >= NOTICE and waited % NOTICE < BEAT:
                print(f"process {self.rank} waits for {self.describe(late)}", file=sys.stderr, flush=True)

    def late(self, counts: int = 1) -> list[int]:
        """The ranks that have entered fewer collectives; with counts=2 also those with as many, but fewer reports."""
        own = [*_own[:counts]]
        return [i for i, line in enumerate(self.lines) if i != self.rank and line[1 : 1 + counts] < own]

    def describe(self, ranks: list[int]) -> str:
        return ", ".join(f"process {i} (last report: {self.lines[i][3]})" for i in ranks)

    def waited_for(self, ranks: list[int]) -> str:
        waited = f"process {self.rank} has waited {self.minutes:.3g} minutes"
        return f"{waited} without any progress of {self.describe(ranks)}"


def _end(sentence: str) -> None:
    """Ends the process from a thread: the main thread waits in a collective, where no exception reaches it."""
    print(f"error: {sentence}", file=sys.stderr, flush=True)
    os._exit(1)


_watch: _Watch | None = None
_patient: dist.ProcessGroup | None = None  # of collectives between phases: it has no limit of its own


@contextmanager
def processes(device_name: str, minutes: float) -> Iterator[torch.device]:
    """Joins torchrun's process group where there is one, and leaves it at the end: yields this process's torch.device.

    device_name: "auto" (CUDA where it works, else CPU), "cpu" or "cuda". minutes: how long a process waits for another
    one that makes no progress, before it ends with a sentence that names it.
    Raises ValueError if CUDA is asked for and torch does not see any, ConnectionError if another process is lost.
    """
    cuda = torch.cuda.is_available()
    if device_name == "cuda" and not cuda:
        raise ValueError("--device cuda: torch sees no CUDA device; install a CUDA build of torch or use --device cpu")
    cuda = cuda and device_name != "cpu"
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    try:
        if "WORLD_SIZE" in os.environ:
            _join_group(cuda, minutes)
        yield device
    except RuntimeError as error:
        # A process that fails closes its connections: the next collective of the others ends here.
        if isinstance(error, dist.DistError) or (dist.is_initialized() and "gloo" in str(error)):
            if not dist.is_initialized():
                raise ConnectionError(f"not every process has started: {str(error).splitlines()[0]}") from None
            if "timed out" in str(error).lower():  # in a collective that is not counted: those of gradients
                others = [i for i in range(world_size()) if i != rank()]
                raise ConnectionError(_watch.waited_for(_watch.late(2) or others)) from None
            raise ConnectionError(f"process {rank()} lost another one: see that one's message") from None
        raise
    finally:
        if _watch is not None:
            _watch.leave()
    if dist.is_initialized():
        # DistributedDataParallel must go first: as the group's last owner it would hold the interpreter's lock while it
        # waits for gloo's thread, which may be waiting for that lock to drop the tensors of the last gather.
        gc.collect()
        dist.destroy_process_group()


def _join_group(cuda: bool, minutes: float) -> None:
    global _watch, _patient
    store, rank, world_size = next(dist.rendezvous("env://", timeout=timedelta(minutes=minutes)))
    _watch = _Watch(dist.PrefixStore("watch", store.clone()), rank, world_size, minutes)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if cuda else "gloo",  # gloo also beside NCCL: maximum() must not wait for the device
        store=dist.PrefixStore("group", store),
        rank=rank,
        world_size=world_size,
        timeout=timedelta(minutes=minutes, seconds=SILENCE),  # the watch knows more, and ends the process before
    )
    _patient = dist.new_group(backend="gloo", timeout=timedelta(days=365))


def is_main() -> bool:
    """True in the one process that writes."""
    return rank() == 0


def barrier() -> None:
    """Waits until every process is here, however long that takes, as long as the others make progress (report)."""
    if dist.is_initialized():
        _enter_collective()
        dist.barrier(_patient)


def gather_lists(items: list) -> list:
    """The list of every process, joined in the order of ranks. Any picklable items; the same result everywhere.

    Waits for the other processes as barrier does.
    """
    if not dist.is_initialized():
        return items
    _enter_collective()
    lists = [None] * world_size()
    dist.all_gather_object(lists, items, group=_patient)
    return [item for part in lists for item in part]


def maximum(number: int) -> int:
    """The largest of all processes' integers. Goes from CPU to CPU, and does not wait for the device."""
    if not dist.is_initialized():
        return number
    _enter_collective()
    largest = torch.tensor(number)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return int(largest)


def mean(tensor: Tensor) -> Tensor:
    """The mean of all processes' tensors of one shape."""
    if not dist.is_initialized():
        return tensor
    _enter_collective()
    total = tensor.clone()
    dist.all_reduce(total)
    return total / world_size()


def share_buffers(model: nn.Module) -> None:
    """Gives every process the main one's buffers: batch norm's running statistics, where each kept its own."""
    if dist.is_initialized():
        _enter_collective()
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)
