"""Keeps a training run alive: non-finite steps, preemption, checkpoints, progress, the log."""

from contextlib import contextmanager

from utils import distributed
from utils.training.non_finite import NonFiniteGuard
from utils.training.preemption import PreemptionHandler
from utils.training.progress import Progress
from utils.training.run_log import RunLog

READ_EVERY = 10  # steps between two reads of the loss on CUDA: each waits for the device


class Run:
    """A training run: to be called before and after each step and after each epoch.

    log: its RunLog. The run goes on from its last checkpoint where the log found one. From here on, optimizer.step()
    skips every step whose gradient is not finite.
    device: where it computes. epoch: finished epochs. share: what is done of the whole run, 0 ... 1. resumed: whether
    it goes on from a checkpoint.
    """

    def __init__(self, args, log: RunLog, model, optimizer, loader, samples: int):
        """samples: of a step, over all processes."""
        self.args, self.log, self.model, self.optimizer, self.loader = args, log, model, optimizer, loader
        self.progress = Progress(loader.steps, samples, args.num_epoch, loader.device)
        self.guard = NonFiniteGuard(optimizer, model, keep_buffers=args.on_nan == "skip")
        self.preemption = PreemptionHandler(args.save_minutes)
        self.resumed = log.state is not None
        if self.resumed:
            log.load_last(model, optimizer, self.progress)

    @property
    def device(self):
        return self.loader.device

    @property
    def epoch(self) -> int:
        return self.progress.epoch

    @property
    def share(self) -> float:
        return self.progress.share

    def batches(self):
        """The batches of the current epoch that are still to be trained on."""
        self.loader.start(self.progress.epoch, self.progress.step)
        self.progress.begin_epoch()
        return self.loader

    def before_step(self):
        """Before the forward pass, when the batch is there."""
        distributed.report(f"training, epoch {self.progress.epoch + 1}, step {self.progress.step + 1}")
        self.guard.before_step()

    def after_step(self, loss, diagnostics):
        """After optimizer.step(): counts, saves where it is time, ends the program where it was asked to.

        Raises ValueError, naming the rows, where the gradient was not finite and --on_nan is stop.
        """
        progress = self.progress
        progress.advance(loss, diagnostics, self.guard.skipped)
        save = self.preemption.should_save()
        due = progress.step % READ_EVERY == 0 or progress.step == progress.steps
        if save or due or self.device.type == "cpu":
            self.log.report_non_finite(progress.read(), progress.epoch + 1, self.loader.sampler)
        if save:
            self.save()
        if self.preemption.stopping:
            self.close()
            self.preemption.leave(f"in epoch {progress.epoch + 1}, step {progress.step}")

    def evaluation_due(self) -> bool:
        """Whether the current epoch is to be evaluated when it has been trained."""
        epoch = self.epoch + 1
        return epoch % self.args.eval_epoch == 0 or epoch == self.args.num_epoch

    @contextmanager
    def evaluation(self):
        """Saves what was trained; meanwhile signals end the program at once."""
        self.save()
        with self.preemption.immediate():
            yield

    def start(self, results):
        """Logs the scores before training."""
        self.log.add_epoch(0, results)
        self.save()

    def end_epoch(self, means, results):
        """Logs the epoch and its scores, and keeps the best."""
        self.log.add_epoch(self.epoch + 1, results, means, self.progress.stats.warnings(means), self.measured)
        self.progress.next_epoch()
        if results:
            self.log.save_if_best(self.model)
        self.save()

    def epoch_means(self) -> dict[str, float]:
        """When the steps of an epoch are done: stops its clock, and returns the means of its loss and diagnostics."""
        self.measured = self.progress.measured(self.loader.waited)
        return self.progress.stats.means()

    def save(self):
        """Writes last.pth: everything needed to go on."""
        self.log.save_last(self.model, self.optimizer, self.progress)

    def finish(self, results):
        """Writes summary.json and the pictures, and prints what to do next."""
        self.close()
        self.log.finish(results)

    def close(self):
        """Ends the progress bar, so that what is printed next has a line of its own."""
        self.progress.close()
