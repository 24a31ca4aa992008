"""The folder of a run: settings, one line an epoch, checkpoints, curves. Nothing in it is ever deleted."""

import json
import platform
import shlex
import sys
from pathlib import Path

import torch

from utils import checkpoint, distributed
from utils.evaluation import describe
from utils.files import write_text
from utils.visualize import save_curves, save_overlays


class RunLog:
    """Writes into the folder args.ckpt, from the main process.

    log.jsonl has one line an epoch and only what the seed decides, so that two runs can be compared with diff;
    times.jsonl has the seconds. Raises FileExistsError if the folder holds a run and args.resume is off, and
    FileNotFoundError if it is on and there is none.
    """

    def __init__(self, args):
        self.folder, self.args = Path(args.ckpt), args
        self.selected_on = (
            f"the validation set {args.valset}"
            if args.valset
            else f"the test set {args.testset} (the papers' protocol)"
        )
        started = (self.folder / "args.json").exists()
        if args.resume and not (self.folder / "last.pth").is_file():
            raise FileNotFoundError(f"{self.folder / 'last.pth'} is missing: there is nothing to --resume")
        if started and not args.resume:
            raise FileExistsError(
                f"{self.folder} holds a run: go on with it (--resume) or name another folder (--ckpt)"
            )
        self.lines = _read_lines(self.folder / "log.jsonl") if args.resume else []
        distributed.barrier()  # every process has looked before one writes
        if distributed.is_main():
            self.folder.mkdir(parents=True, exist_ok=True)
            versions = {"torch": torch.__version__, "python": platform.python_version()}
            self._write("args.json", {"arguments": vars(args), "versions": versions})

    def add_epoch(self, epoch, results, loss=None, seconds=None):
        """Logs an epoch (0 is before training) in log.jsonl, times.jsonl and curves.png, and prints its scores.

        results: {"test": Evaluation, ...}; loss: its mean; seconds: what training took.
        """
        line = {"epoch": epoch} | ({} if loss is None else {"loss": loss})
        line |= {name: result.summary() for name, result in results.items()}
        self.lines = [*self.lines, line]
        if not distributed.is_main():
            return
        self._write_text("log.jsonl", "".join(json.dumps(entry) + "\n" for entry in self.lines))
        save_curves(self.lines, self.folder / "curves.png")
        if seconds is not None:
            with open(self.folder / "times.jsonl", "a") as file:
                file.write(json.dumps({"epoch": epoch, "training_seconds": round(seconds, 2)}) + "\n")
        if results:
            say(f"epoch {epoch}: " + describe(line["test"]))

    def save_last(self, model, optimizer, position):
        """last.pth: everything needed to go on. position: {"epoch", "step", "loss_sum"}, all that is done."""
        if distributed.is_main():
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "position": position}
            checkpoint.save(state, self.folder / "last.pth")

    def load_last(self, model, optimizer):
        """Takes up where last.pth was written, and returns its position."""
        state = checkpoint.load(self.folder / "last.pth")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        position = state["position"]
        if position["epoch"] >= self.args.num_epoch:
            raise ValueError(f"{self.folder} has finished its {position['epoch']} epochs: raise --num_epoch to go on")
        # A run that died between its log and its checkpoint repeats that epoch.
        self.lines = [line for line in self.lines if line["epoch"] <= position["epoch"]]
        return position

    def save_if_best(self, model):
        """Keeps the epoch logged last if none before scored better on the set that selects.

        Writes best.pth, the pair frame_best.pth and sound_best.pth as published, and best.json with its numbers and
        what it was selected on.
        """
        name = "val" if self.args.valset else "test"
        *before, line = [entry for entry in self.lines if name in entry and entry["epoch"] > 0]
        if any(entry[name]["ciou"] >= line[name]["ciou"] for entry in before) or not distributed.is_main():
            return
        note = {"epoch": line["epoch"], "selected_on": self.selected_on, name: line[name], "test": line["test"]}
        checkpoint.save({"model": model.state_dict(), **note}, self.folder / "best.pth")
        checkpoint.save(model.frame_net.state_dict(), self.folder / "frame_best.pth")
        checkpoint.save(model.sound_net.state_dict(), self.folder / "sound_best.pth")
        self._write("best.json", note)

    def say_stopped(self, position):
        command = shlex.join(["python", "main.py", *(flag for flag in sys.argv[1:] if flag != "--resume"), "--resume"])
        say(f"stopped in epoch {position['epoch'] + 1}, step {position['step']}; go on with: {command}")

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
        test += ["--imgSize", str(args.imgSize), "--weights_frame", str(self.folder / "frame_best.pth")]
        test += ["--weights_sound", str(self.folder / "sound_best.pth"), "--ckpt", str(self.folder / "test")]
        say(
            f"\nTest set {args.testset}, last epoch ({last['test']['n']} items; 95 % intervals)\n"
            f"  model              {describe(last['test'])}\n"
            f"  sounds swapped     {describe(last['swapped'])}\n"
            + "".join(f"  {name:18} {describe(free)}\n" for name, free in last["test"]["audio_free"].items())
            + f"Best: epoch {best['epoch']}, {describe(best['test'])}, selected on {best['selected_on']}\n"
            f"Pictures: {', '.join(map(str, [*overview, self.folder / 'curves.png']))}\n"
            f"Next: {shlex.join(test)}"
        )

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
