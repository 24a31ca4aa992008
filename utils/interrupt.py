"""Ctrl-C, asked about between steps instead of striking in the middle of one."""

import signal
import sys

from utils import distributed


class Interrupt:
    """The first Ctrl-C is a request to stop after the step, a second one ends the program at once."""

    def __init__(self):
        self.requested = False
        signal.signal(signal.SIGINT, self._request)

    def _request(self, number, frame):
        self.requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("\nstopping after this step and saving; Ctrl-C again to stop at once", file=sys.stderr)

    def agreed(self, step):
        """True in every process alike once a Ctrl-C has reached any; several ask each other every tenth step."""
        if distributed.world_size() == 1:
            return self.requested
        return step % 10 == 0 and distributed.any_process(self.requested)
