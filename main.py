"""Trains a method of visual sound source localisation: python main.py. Every setting is in arguments_train.py."""

from contextlib import closing
from math import cos, pi

from arguments_train import parse_args
from dataset import prepare_train_set
from dataset.benchmarks import find_valset
from dataset.storage.workers import worker_context
from models import METHODS, build_objective
from utils import distributed
from utils.errors import one_sentence_errors
from utils.evaluation.evaluate import evaluate
from utils.training.accumulate import backward_in_parts
from utils.training.build import build_networks, build_optimizer, build_test_loaders, build_train_loader
from utils.training.memory import keep_freed_memory
from utils.training.precision import choose_autocast
from utils.training.run import Run
from utils.training.run_log import RunLog
from utils.training.seed import seed_everything


def main():
    args = parse_args()
    with distributed.processes(args.device, args.collective_minutes) as device:
        train(args, device)


def train(args, device):
    """A whole run: prepare the data, build, train epoch by epoch, evaluate."""
    seed_everything(args.seed)
    keep_freed_memory()
    if args.workers:
        worker_context()  # called early: the fork server of the workers starts while the networks are built
    args.valset = find_valset(args)
    log = RunLog(args)
    model, trained = build_networks(args, device)  # trained: with several processes, what exchanges the gradients
    if distributed.is_main():
        prepare_train_set(args, METHODS[args.method].regions and args.gridSize < 0, distributed.report)
    distributed.barrier()

    train_loader, test_loaders = build_train_loader(args, device, model), build_test_loaders(args)
    objective, optimizer = build_objective(args), build_optimizer(model, args)
    log.describe_start(sum(weight.numel() for weight in model.parameters()), device)
    run = Run(args, log, model, optimizer, train_loader, args.batch_size_per_gpu * distributed.world_size())
    with closing(run):
        if not run.resumed:
            run.start(evaluate_all(model, test_loaders, device, args, epoch=0))
        results = {}
        while run.epoch < args.num_epoch:
            means, results = train_one_epoch(trained, objective, optimizer, run, args), {}
            if run.evaluation_due():
                with run.evaluation():
                    results = evaluate_all(model, test_loaders, device, args, run.epoch + 1)
            run.end_epoch(means, results)
        run.finish(results or evaluate_all(model, test_loaders, device, args, run.epoch))


def train_one_epoch(model, objective, optimizer, run, args):
    """Trains on the batches that are left of an epoch. Returns the means of its loss and diagnostics."""
    autocast = choose_autocast(args.precision, run.device)
    model.train()
    for batch in run.batches():
        set_learning_rates(optimizer, args.lr_schedule, run.share)
        run.before_step()
        loss, diagnostics = training_step(model, objective, optimizer, batch, autocast, args.accumulate)
        run.after_step(loss, diagnostics)
    return run.epoch_means()


def training_step(model, objective, optimizer, batch, autocast, parts=1):
    """One step of the optimizer on a batch. Returns the loss and the objective's diagnostics."""
    network = getattr(model, "module", model)
    if hasattr(network, "begin_step"):
        network.begin_step()  # SLAVC moves its momentum copy
    optimizer.zero_grad()
    if parts == 1:
        with autocast:
            outputs = model(batch["views"], batch["audio"])
        loss, diagnostics = objective(outputs, batch)
        loss.backward()
    else:  # the same loss and gradients with the memory of a part of the batch
        loss, diagnostics = backward_in_parts(model, objective, batch, parts, autocast)
    optimizer.step()  # leaves out a gradient that is not finite, see utils/training/non_finite.py
    return loss, diagnostics


def set_learning_rates(optimizer, schedule, share):
    """The rates of the next step; share: what is done of the run, 0 ... 1."""
    factor = {"constant": 1.0, "cosine": 0.5 + 0.5 * cos(pi * share)}[schedule]
    for group in optimizer.param_groups:
        group["lr"] = group["first_lr"] * factor


def evaluate_all(model, loaders, device, args, epoch):
    """An Evaluation for each test loader, by name. Shuffled sounds only where --eval_shuffled asks for them."""
    distributed.share_buffers(model)
    wanted = args.eval_shuffled == "each" or epoch == args.num_epoch
    return {
        name: evaluate(model, loader, device, num_visual=args.num_visual)
        for name, loader in loaders.items()
        if name != "shuffled" or wanted
    }


if __name__ == "__main__":
    with one_sentence_errors():
        main()
