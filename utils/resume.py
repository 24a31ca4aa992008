"""Whether a run may go on: what is different from the run that wrote last.pth."""

import json

# Settings that leave the weights alone: how and where a run computes, how long, and what it reports.
FREE = {
    "cache", "ckpt", "collective_minutes", "compile", "data_path", "device", "eval_epoch", "force_resume", "num_visual",
    "on_nan", "resume", "save_minutes", "weights_frame", "weights_pcm", "weights_resnet_imgnet", "weights_sound",
    "weights_ssl_head", "weights_vgg16", "weights_vggish", "workers",
}  # fmt: skip


def changed_arguments(before, now, processes_before, processes_now):
    """Settings that differ and matter, as "--name was A, is B".

    before, now: dicts of all settings. More epochs change nothing unless the schedule ends with them; the batch is that
    of all processes, however many share it.
    """
    free = set(FREE)
    if before["lr_schedule"] == "constant":
        free.add("num_epoch")
    if now["cache_features"] != "none":  # the stored features must be those of the encoders in last.pth
        free -= {name for name in free if name.startswith("weights_")}
    if before["batch_size_per_gpu"] * processes_before == now["batch_size_per_gpu"] * processes_now:
        free.add("batch_size_per_gpu")
    return [
        f"--{name} was {before[name]}, is {now[name]}"
        for name in sorted(before.keys() & now.keys() - free)
        if before[name] != now[name]
    ]


def _has_finished(folder, epoch):
    """Whether the run has also written down what it reached; it may have died just before."""
    summary = folder / "summary.json"
    return summary.is_file() and json.loads(summary.read_text())["last"]["epoch"] >= epoch


def check_resume(state, args, processes, path):
    """Returns the position to go on from, and a list of what is different.

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
