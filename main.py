"""Trains a method of sound source localisation: python main.py. Every setting is in arguments_train.py."""

from contextlib import closing
from math import cos, pi

import torch
from torch.nn.parallel import DistributedDataParallel

from arguments_train import parse_args
from dataset import build_test_set, build_train_set
from dataset.loading import TrainLoader
from dataset.test_sets import SwappedSounds
from models import build_model, build_objective
from utils import distributed
from utils.accumulate import backward_in_parts
from utils.batch_norm import synchronised
from utils.errors import one_sentence_errors
from utils.evaluation import build_test_loader, evaluate
from utils.health import Guard
from utils.interrupt import Interrupt
from utils.memory import keep_freed_memory
from utils.precision import choose_autocast
from utils.progress import Progress
from utils.run_log import RunLog
from utils.seed import seed_everything

LOOK_EVERY = 10  # steps between two looks at the loss on CUDA: each waits for the device


def main():
    args = parse_args()
    with distributed.processes(args.device, args.collective_minutes) as device:
        train(args, device)


def train(args, device):
    seed_everything(args.seed)
    keep_freed_memory()
    run = RunLog(args)
    model, trained = build_networks(args, device)
    train_loader, test_loaders = build_loaders(args, device, model)
    objective = build_objective(args)
    optimizer = build_optimizer(model, args)
    progress = Progress(train_loader.steps, args.batch_size_per_gpu * distributed.world_size(), args.num_epoch, device)
    if run.state:
        run.load_last(model, optimizer, progress)
    else:
        run.add_epoch(0, evaluate_all(model, test_loaders, device, args))
        run.save_last(model, optimizer, progress)

    interrupt = Interrupt(args.save_minutes)
    results = {}
    with closing(progress):
        while progress.epoch < args.num_epoch:
            train_one_epoch(trained, train_loader, objective, optimizer, progress, args, run, interrupt)
            measured = progress.measured(train_loader.waited)
            results, epoch = {}, progress.epoch + 1
            if epoch % args.eval_epoch == 0 or epoch == args.num_epoch:
                run.save_last(model, optimizer, progress)
                with interrupt.at_once():
                    results = evaluate_all(model, test_loaders, device, args)
            run.add_epoch(epoch, results, progress.health.means(), measured)
            progress.next_epoch()
            if results:
                run.save_if_best(model)
            run.save_last(model, optimizer, progress)
    run.finish(results or evaluate_all(model, test_loaders, device, args))


def build_loaders(args, device, model):
    """The training loader, and the test loaders by name: test, swapped (its sounds exchanged), val where asked for."""
    train_set = build_train_set(args, device, model)
    train_loader = TrainLoader(train_set, args.batch_size_per_gpu, args.seed, args.workers, device)
    test_set = build_test_set(args.testset, args)
    test_sets = {"test": test_set, "swapped": SwappedSounds(test_set, args.seed)}
    if args.valset != "none":
        test_sets["val"] = build_test_set(args.valset, args)
    return train_loader, {
        name: build_test_loader(test_set, args.batch_size_per_gpu, args.workers) for name, test_set in test_sets.items()
    }


def build_networks(args, device):
    """The model, and what trains it: the same, or with several processes what exchanges its gradients."""
    model, several = build_model(args).to(device, memory_format=torch.channels_last), distributed.world_size() > 1
    if several and not args.local_negatives:
        model = synchronised(model, device)
    if args.compile:
        model.compile()
    return model, DistributedDataParallel(model) if several else model


def build_optimizer(model, args):
    """The optimizer over what the method trains, each group with its learning rate."""
    groups = [{**group, "first_lr": group["lr"]} for group in model.parameter_groups(args)]
    shared = {"weight_decay": args.weight_decay, "fused": True}
    if args.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=args.beta1, **shared)
    optimizer = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[args.optimizer]
    return optimizer(groups, betas=(args.beta1, 0.999), **shared)


def train_one_epoch(model, loader, objective, optimizer, progress, args, run, interrupt):
    """Trains from progress.step to the end of the epoch. Ctrl-C and SIGTERM save after a step, and end the program."""
    network = getattr(model, "module", model)
    autocast = choose_autocast(args.precision, loader.device)
    guard = Guard(optimizer, network, keep_buffers=args.on_nan == "skip")
    loader.start(progress.epoch, progress.step)
    progress.begin_epoch()
    model.train()
    for batch in loader:
        distributed.report(f"training, epoch {progress.epoch + 1}, step {progress.step + 1}")
        guard.begin()
        if args.accumulate == 1:
            with autocast:
                outputs = model(batch["views"], batch["spect"])
            loss = objective(outputs, batch["regions"])
            loss.backward()
        else:
            loss = backward_in_parts(model, objective, batch, args.accumulate, autocast)
        for group in optimizer.param_groups:
            falling = 0.5 + 0.5 * cos(pi * progress.share)
            group["lr"] = group["first_lr"] * (falling if args.lr_schedule == "cosine" else 1)
        progress.advance(loss, objective.signs, guard.step())

        save = interrupt.agreed()
        if save or loader.device.type == "cpu" or progress.step % LOOK_EVERY == 0 or progress.step == progress.steps:
            run.report_broken(progress.look(), progress.epoch + 1, loader.sampler)
        if save:
            run.save_last(network, optimizer, progress)
        if interrupt.stopping:
            progress.close()
            interrupt.leave(f"in epoch {progress.epoch + 1}, step {progress.step}")


def evaluate_all(model, loaders, device, args):
    """An Evaluation for each test loader, by name."""
    distributed.share_buffers(model)
    return {name: evaluate(model, loader, device, num_visual=args.num_visual) for name, loader in loaders.items()}


if __name__ == "__main__":
    with one_sentence_errors():
        main()
