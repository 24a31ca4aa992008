"""Checks before --resume: what differs from the run that wrote last.pth."""

import json


def changed_arguments(before: dict, now: dict, processes_before: int, processes_now: int) -> list[str]:
    """Settings that differ and matter, as "--name was A, is B".

    before, now: dicts of all settings; now["resume_may_change"] names those that leave the weights alone: how and where
    a run computes, and what it reports. More epochs change nothing unless the schedule ends with them; the batch is
    that of all processes, however many share it.
    """
    free = {*now["resume_may_change"], "resume_may_change"}
    if before["lr_schedule"] == "constant":
        free.add("num_epoch")
    if now.get("cache_features", "none") != "none":  # the stored features must be those of the encoders in last.pth
        free -= {name for name in free if name.startswith("weights_")}
    if before["batch_size_per_gpu"] * processes_before == now["batch_size_per_gpu"] * processes_now:
        free.add("batch_size_per_gpu")
    return [
        f"--{name} was {before[name]}, is {now[name]}"
        for name in sorted(before.keys() & now.keys() - free)
        if before[name] != now[name]
    ]


def _has_finished(folder, epoch):
    """Whether the run has also written its summary; it may have died just before."""
    summary = folder / "summary.json"
    return summary.is_file() and json.loads(summary.read_text())["last"]["epoch"] >= epoch


def check_resume(state, args, processes, path):
    """Returns the position to go on from, and sentences about what differs.

    state: of last.pth at `path`. Raises ValueError, unless args.force_resume, where settings that matter have changed,
    or the number of processes or the batch within an epoch: forced, such an epoch is trained again from its beginning.
    """
    position, now = dict(state["position"]), vars(args)
    before, processes_before = state["arguments"], len(state["processes"])
    if position["epoch"] >= args.num_epoch and _has_finished(path.parent, position["epoch"]):
        raise ValueError(f"{path.parent} has finished its {position['epoch']} epochs: raise --num_epoch to go on")
    changed = changed_arguments(before, now, processes_before, processes)
    if changed and not args.force_resume:
        raise ValueError(
            f"{path} belongs to a run with other settings ({'; '.join(changed)}): give them as they were, or "
            "--force_resume"
        )
    batches = [before["batch_size_per_gpu"] * processes_before, args.batch_size_per_gpu * processes]
    if processes != processes_before:
        changed.append(f"{processes_before} processes were, {processes} are; a batch was {batches[0]}, is {batches[1]}")
    within = 0 < position["step"] < position["steps"]
    if within and (processes != processes_before or batches[0] != batches[1]):
        if not args.force_resume:
            raise ValueError(
                f"{path} stopped in the middle of an epoch (epoch {position['epoch'] + 1}, step {position['step']}, "
                f"{processes_before} processes, batches of {batches[0]}): go on with as many, or train this epoch "
                "again from its beginning with --force_resume"
            )
        position["step"] = 0
    return position, changed
