"""Two processes that meet twice: python tests/waiting.py RANK HOW, with RANK and so on in the environment.

Process RANK comes late the second time. HOW: "stuck" (it sleeps), "stuck_in_step" (it sleeps, while the other one
waits in a collective that is not counted, as those of gradients are not), "slow" (it reports progress for twice the
limit), "stopped" (it sleeps, and the limit is long).
"""

import sys
import time

import torch

from models.gather import gather
from utils import distributed
from utils.errors import one_sentence_errors

distributed.BEAT, distributed.SILENCE, distributed.NOTICE = 0.1, 3.0, 0.5


def main(late, how):
    with distributed.processes("cpu", minutes=0.1 if how == "stuck_in_step" else 1):  # they may start slowly
        distributed.barrier()
        if how in ("stuck", "slow"):
            distributed._watch.minutes = 2 / 60
        if distributed.rank() == int(late):
            for item in range(40 if how == "slow" else 1):
                distributed.report(f"evaluation, item {item + 1} of 40")
                time.sleep(0.1)
            if how != "slow":
                time.sleep(2 * distributed.BEAT)
                print("it is known", flush=True)
                time.sleep(1000)
        if how == "stuck_in_step":
            gather(torch.ones(1))
        print(distributed.gather_lists([distributed.rank()]))


if __name__ == "__main__":
    with one_sentence_errors():
        main(*sys.argv[1:])
