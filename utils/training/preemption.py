"""Ctrl-C, SIGTERM and the clock: when to save and when to stop, checked between steps."""

import shlex
import signal
import sys
import time
from contextlib import contextmanager

from utils import distributed

SAVE = 1
# Exit codes. Ctrl-C: the user asked for it. 143 = 128 + 15 is what a shell reports for SIGTERM, and tells a cluster's
# script to start the run again.
EXIT_CODES = {signal.SIGINT: 0, signal.SIGTERM: 143}


class PreemptionHandler:
    """Signals wait for the end of a step, where nothing is lost; a second Ctrl-C ends the program at once.

    save_minutes: time between two saves within an epoch. stopping: whether the program is to end after saving.
    """

    def __init__(self, save_minutes: float):
        self.interval, self.saved = 60 * save_minutes, time.monotonic()
        self.received, self.since, self.deferred = 0, 0.0, True
        self.stopping = False
        for number in EXIT_CODES:
            signal.signal(number, self._receive)

    def _receive(self, number, frame):
        now = time.monotonic()
        # torchrun passes a Ctrl-C on that its processes have seen already: that is not a second one.
        if number == self.received == signal.SIGINT and now - self.since > 1:
            raise KeyboardInterrupt
        self.received, self.since = number, now
        if not self.deferred:
            self.leave("during the evaluation")
        print("\nstopping after this step and saving; Ctrl-C again to stop at once", file=sys.stderr, flush=True)

    def should_save(self) -> bool:
        """Whether to save now, and then whether to stop (`stopping`); every process gets the same answer."""
        due = distributed.is_main() and time.monotonic() - self.saved >= self.interval
        request = distributed.maximum(max(self.received, SAVE if due else 0))
        if request:
            self.saved = time.monotonic()
        if request in EXIT_CODES:
            self.received, self.stopping = request, True
        return request > 0

    @contextmanager
    def immediate(self):
        """Signals end the program without delay meanwhile: what was trained is saved."""
        self.deferred = False
        if self.received:
            self.leave("before the evaluation")
        try:
            yield
        finally:
            self.deferred = True

    def leave(self, where: str):
        """Ends the program, saying how to go on."""
        if distributed.is_main():
            flags = [flag for flag in sys.argv[1:] if flag != "--resume"]
            program = "python" if distributed.world_size() == 1 else f"torchrun ({distributed.world_size()} processes)"
            print(f"stopped {where}; go on with: {program} {shlex.join(['main.py', *flags, '--resume'])}", flush=True)
        sys.exit(EXIT_CODES[self.received])
