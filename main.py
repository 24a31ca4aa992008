"""Trains a method of sound source localisation: python main.py. Every setting is in arguments_train.py."""

import time
from math import cos, pi

import torch
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from arguments_train import parse_args
from dataset import build_test_set, build_train_set
from dataset.loading import TrainLoader
from dataset.test_sets import SwappedSounds
from models import build_model, build_objective
from utils import distributed
from utils.errors import one_sentence_errors
from utils.evaluation import build_test_loader, evaluate
from utils.interrupt import Interrupt
from utils.precision import choose_precision
from utils.run_log import RunLog
from utils.seed import seed_everything


def main():
    args = parse_args()
    with distributed.processes(args.device) as device:
        train(args, device)


def train(args, device):
    seed_everything(args.seed)
    run = RunLog(args)
    train_loader, test_loaders = build_loaders(args, device)
    model = build_model(args).to(device, memory_format=torch.channels_last)
    trained = DistributedDataParallel(model) if distributed.world_size() > 1 else model
    objective = build_objective(args)
    optimizer = build_optimizer(model, args)
    if args.resume:
        position = run.load_last(model, optimizer)
    else:
        position = {"epoch": 0, "step": 0, "loss_sum": 0.0}
        run.add_epoch(0, evaluate_all(model, test_loaders, device, args))
        run.save_last(model, optimizer, position)

    interrupt = Interrupt()
    steps = train_loader.steps
    done = position["epoch"] * steps + position["step"]
    samples = args.batch_size_per_gpu * distributed.world_size()
    total, hidden = args.num_epoch * steps * samples, not distributed.is_main()
    bar = tqdm(total=total, initial=done * samples, unit=" samples", unit_scale=True, disable=hidden)
    while position["epoch"] < args.num_epoch:
        started = time.monotonic()
        train_one_epoch(trained, train_loader, objective, optimizer, position, args, bar, interrupt)
        if position["step"] < steps:
            run.save_last(model, optimizer, position)
            bar.close()
            run.say_stopped(position)
            return
        epoch, loss = position["epoch"] + 1, position["loss_sum"] / steps
        position = {"epoch": epoch, "step": 0, "loss_sum": 0.0}
        seconds = time.monotonic() - started
        results = {}
        if epoch % args.eval_epoch == 0 or epoch == args.num_epoch:
            results = evaluate_all(model, test_loaders, device, args)
        run.add_epoch(epoch, results, loss, {"training_seconds": seconds, "waited_for_data": train_loader.waited})
        if results:
            run.save_if_best(model)
        run.save_last(model, optimizer, position)
    bar.close()
    run.finish(results)


def build_loaders(args, device):
    """The training loader, and the test loaders by name: test, swapped (its sounds exchanged), val where asked for."""
    train_set = build_train_set(args, device)
    train_loader = TrainLoader(train_set, args.batch_size_per_gpu, args.seed, args.workers, device)
    test_set = build_test_set(args.testset, args)
    test_sets = {"test": test_set, "swapped": SwappedSounds(test_set, args.seed)}
    if args.valset != "none":
        test_sets["val"] = build_test_set(args.valset, args)
    return train_loader, {
        name: build_test_loader(test_set, args.batch_size_per_gpu, args.workers) for name, test_set in test_sets.items()
    }


def build_optimizer(model, args):
    """The optimizer over what the method trains, each group with its learning rate."""
    groups = [{**group, "first_lr": group["lr"]} for group in model.parameter_groups(args)]
    shared = {"weight_decay": args.weight_decay, "fused": True}
    if args.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=args.beta1, **shared)
    optimizer = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[args.optimizer]
    return optimizer(groups, betas=(args.beta1, 0.999), **shared)


def train_one_epoch(model, loader, objective, optimizer, position, args, bar, interrupt):
    """Trains from position["step"] to the end of the epoch, or to the first Ctrl-C, and moves position along."""
    loader.start(position["epoch"], position["step"])
    device = loader.device
    precision = choose_precision(args.precision, device)
    loss_sum = torch.tensor(position["loss_sum"], device=device)
    model.train()
    for batch in loader:
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            outputs = model(batch["views"], batch["spect"])
        loss = objective(outputs, batch["regions"])
        optimizer.zero_grad()
        loss.backward()
        progress = (position["epoch"] + position["step"] / loader.steps) / args.num_epoch
        for group in optimizer.param_groups:
            group["lr"] = group["first_lr"] * (0.5 + 0.5 * cos(pi * progress) if args.lr_schedule == "cosine" else 1)
        optimizer.step()

        loss_sum += loss.detach()
        position["step"] += 1
        bar.update(args.batch_size_per_gpu * distributed.world_size())
        if position["step"] % 10 == 0 or device.type == "cpu":  # reading the loss waits for the device
            bar.set_postfix(epoch=position["epoch"] + 1, loss=f"{float(loss_sum) / position['step']:.3f}")
        if interrupt.agreed(position["step"]):
            break
    position["loss_sum"] = float(loss_sum)


def evaluate_all(model, loaders, device, args):
    """An Evaluation for each test loader, by name."""
    return {name: evaluate(model, loader, device, num_visual=args.num_visual) for name, loader in loaders.items()}


if __name__ == "__main__":
    with one_sentence_errors():
        main()
