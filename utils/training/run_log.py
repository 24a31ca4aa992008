"""The folder of a run: settings, one line an epoch, checkpoints, curves. Nothing in it is ever deleted."""

import json
import platform
import shlex
import sys
from pathlib import Path

import numpy as np
import torch

from dataset.storage.atomic import write_text
from models import METHODS, weights_argument
from models.weights import load
from utils import distributed
from utils.evaluation.evaluate import describe
from utils.evaluation.overlays import save_overlays
from utils.results.provenance import code_version
from utils.training.checkpoint import save
from utils.training.curves import save_curves
from utils.training.resume import check_resume
from utils.training.seed import random_state, restore_random_state

VERSIONS = {"torch": str(torch.__version__), "python": platform.python_version()}


class RunLog:
    """Writes into the folder args.ckpt, from the main process.

    log.jsonl has one line an epoch and only what the seed decides, so that two runs can be compared with diff;
    times.jsonl has the seconds. Raises FileExistsError if the folder holds a run and args.resume is off,
    FileNotFoundError if it is on and there is none, and ValueError where that run may not go on (see check_resume).
    """

    def __init__(self, args):
        self.folder, self.args = Path(args.ckpt), args
        self.selected_on = (
            f"the validation set {args.valset}"
            if args.valset != "none"
            else f"the test set {args.testset} (the papers' protocol)"
        )
        self.last = self.folder / "last.pth"
        started = self.last.is_file() or (self.folder / "log.jsonl").is_file()
        if args.resume and not started and not (self.folder / "args.json").is_file():
            raise FileNotFoundError(f"{self.folder} holds no run: there is nothing to --resume")
        if started and not args.resume:
            raise FileExistsError(
                f"{self.folder} holds a run: go on with it (--resume) or name another folder (--ckpt)"
            )
        # A run that ended before its first checkpoint begins again.
        self.state = load(self.last) if self.last.is_file() else None
        if self.state:
            self._may_go_on()
        self.lines = []
        distributed.barrier()  # every process has looked before one writes

    def describe_start(self, parameters: int, device: torch.device):
        """Writes args.json, and prints what it holds beside the arguments.

        args.json: arguments, command, code (git commit), versions, device, processes, parameters; under "history" the
        same of the earlier starts of this run.
        """
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "CPU"
        start = {
            "arguments": vars(self.args),
            "command": shlex.join(sys.argv),
            "code": code_version(),
            "versions": VERSIONS,
            "device": f"{device} ({name})",
            "processes": distributed.world_size(),
            "parameters": parameters,
        }
        say(f"{self.args.method}, {parameters / 1e6:.1f} M parameters, {start['processes']} x {start['device']}")
        say(f"code {start['code']}, torch {VERSIONS['torch']}; all settings in {self.folder / 'args.json'}")
        if not distributed.is_main():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "args.json"
        before = json.loads(path.read_text()) if path.is_file() else None
        history = [*before.pop("history", []), before] if before else []
        self._write("args.json", {**start, "history": history})

    def _may_go_on(self):
        self.position, different = check_resume(self.state, self.args, distributed.world_size(), self.last)
        before = self.state["versions"]
        different += [f"{name} was {before[name]}, is {now}" for name, now in VERSIONS.items() if before[name] != now]
        for difference in different:
            say(f"going on although {difference}")

    def add_epoch(self, epoch, results, training=None, warnings=(), measured=None):
        """Logs an epoch (0 is before training) in log.jsonl, times.jsonl and curves.png, and prints its scores.

        results: {"test": Evaluation, ...}. training: EpochStats.means(). warnings: sentences about them. measured:
        seconds and memory.
        """
        line = {"epoch": epoch, **(training or {})}
        line |= {name: result.summary() for name, result in results.items()}
        self.lines = [*self.lines, line]
        if not distributed.is_main():
            return
        self._write_text("log.jsonl", "".join(json.dumps(entry) + "\n" for entry in self.lines))
        save_curves(self.lines, self.folder / "curves.png")
        if measured:
            self._append("times.jsonl", {"epoch": epoch, **measured})
        if results:
            say(f"epoch {epoch}: " + describe(line["test"]))
        for warning in warnings:
            say(f"warning, epoch {epoch}: {warning}")

    def save_last(self, model, optimizer, progress):
        """last.pth: everything needed to go on."""
        processes = distributed.gather_lists([{"random": random_state(), "stats": progress.stats.state()}])
        position = {"epoch": progress.epoch, "step": progress.step, "steps": progress.steps}
        self.saved = f"epoch {progress.epoch + 1}, step {progress.step}"
        if distributed.is_main():
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "position": position}
            state |= {"processes": processes, "arguments": vars(self.args), "versions": VERSIONS}
            save(state, self.last)

    def load_last(self, model, optimizer, progress):
        """Takes up where last.pth was written. The optimizer's settings are the arguments', its averages the file's."""
        state, self.state = self.state, None
        progress.epoch, progress.step = self.position["epoch"], self.position["step"]
        self.saved = f"epoch {progress.epoch + 1}, step {progress.step}"
        if self.position["step"] == self.position["steps"]:  # trained, not yet evaluated
            progress.step = progress.steps
        model.load_state_dict(state["model"])
        settings = [{key: group[key] for key in group if key != "params"} for group in optimizer.param_groups]
        if state["arguments"]["optimizer"] == self.args.optimizer:
            optimizer.load_state_dict(state["optimizer"])
        else:
            say("the other optimizer's averages are of no use to this one: it begins without any")
        for group, setting in zip(optimizer.param_groups, settings, strict=True):
            group.update(setting)
        processes = state["processes"]
        if len(processes) == distributed.world_size():
            own = processes[distributed.rank()]
            restore_random_state(own["random"])
        else:
            sums = np.mean([process["stats"]["sums"] for process in processes], axis=0).tolist()
            own = {"stats": {**processes[0]["stats"], "sums": sums}}
        progress.stats.start(own["stats"] if progress.step else None)
        # A run that died between its log and its checkpoint repeats that epoch.
        lines = _read_lines(self.folder / "log.jsonl")
        self.lines = [line for line in lines if line["epoch"] <= progress.epoch]

    def report_non_finite(self, steps, epoch, sampler):
        """Writes steps whose gradient was not finite, with the rows of the training set they saw, to broken.jsonl.

        Raises ValueError naming the first, unless args.on_nan is "skip". None of them has touched the weights.
        """
        rows = [sampler.rows(epoch - 1, step - 1) for step in steps]
        if steps and distributed.is_main():
            for step, seen in zip(steps, rows, strict=True):
                self._append("broken.jsonl", {"epoch": epoch, "step": step, "rows": seen})
        if steps and self.args.on_nan == "stop":
            some = ", ".join(map(str, rows[0][:64])) + (", ..." if len(rows[0]) > 64 else "")
            raise ValueError(
                f"the gradient of epoch {epoch}, step {steps[0]} is not finite: look at rows {some} of the training "
                f"set (see {self.folder / 'broken.jsonl'}), then go on from {self.last} ({self.saved}) with --resume, "
                "and a lower learning rate (--force_resume) or --on_nan skip"
            )

    def save_if_best(self, model):
        """Keeps the epoch logged last if none before scored better on the set that selects.

        Writes <part>_best.pth for each part of the method, as published, and best.json with its numbers and what it
        was selected on.
        """
        chosen = "val" if self.args.valset != "none" else "test"
        *before, line = [entry for entry in self.lines if chosen in entry and entry["epoch"] > 0]
        if any(entry[chosen]["ciou"] >= line[chosen]["ciou"] for entry in before) or not distributed.is_main():
            return
        note = {"epoch": line["epoch"], "selected_on": self.selected_on, chosen: line[chosen], "test": line["test"]}
        for name, part in model.parts().items():
            save(part.state_dict(), self.folder / f"{name}_best.pth")
        self._write("best.json", note)

    def finish(self, results):
        """summary.json, the pictures of the last epoch's evaluation, and what to do next."""
        if not distributed.is_main():
            return
        best = json.loads((self.folder / "best.json").read_text())
        last = {name: result.summary() for name, result in results.items()}
        self._write("summary.json", {"last": {"epoch": self.lines[-1]["epoch"], **last}, "best": best})
        drawn = results["test"].pictures
        overview = [save_overlays(drawn, self.folder / "pictures")] if drawn else []
        args = self.args
        test = ["python", "test.py", "--testset", args.testset, "--data_path", args.data_path]
        for part in METHODS[args.method].parts:
            test += [f"--{weights_argument(part)}", str(self.folder / f"{part}_best.pth")]
        test += ["--ckpt", str(self.folder / "test")]
        say(
            f"\nTest set {args.testset}, last epoch ({last['test']['n']} items; 95 % intervals)\n"
            f"  model              {describe(last['test'])}\n"
            + (f"  shuffled sounds    {describe(last['shuffled'])}\n" if "shuffled" in last else "")
            + "".join(f"  {name:18} {describe(numbers)}\n" for name, numbers in last["test"]["baselines"].items())
            + f"Best: epoch {best['epoch']}, {describe(best['test'])}, selected on {best['selected_on']}\n"
            f"Pictures: {', '.join(map(str, [*overview, self.folder / 'curves.png']))}\n"
            f"Next: {shlex.join(test)}"
        )

    def _append(self, name, values):
        with open(self.folder / name, "a") as file:
            file.write(json.dumps(values) + "\n")

    def _write(self, name, values):
        self._write_text(name, json.dumps(values, indent=1) + "\n")

    def _write_text(self, name, text):
        write_text(self.folder / name, text)


def say(text):
    """Prints from the main process."""
    if distributed.is_main():
        print(text, flush=True)


def _read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
