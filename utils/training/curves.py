"""Curves of a run: curves.png."""

import numpy as np

NO_DIAGNOSTICS = ("epoch", "loss")


def save_curves(log, path):
    """Loss, cIoU and AUC, and diagnostics over the epochs, from the lines of log.jsonl, as one PNG."""
    import matplotlib  # late: it costs 0.4 s, which --help need not take

    matplotlib.use("Agg")  # files only: servers have no screen
    from matplotlib import pyplot as plt

    figure, (left, right, diagnostics) = plt.subplots(1, 3, figsize=(15, 3.6), layout="constrained")
    trained = [line for line in log if "loss" in line]
    left.plot([line["epoch"] for line in trained], [line["loss"] for line in trained], marker=".")
    left.set(title="Training loss", xlabel="epoch", ylabel="loss (two views)")
    scored = [line for line in log if "test" in line]
    for key, name in (("ciou", "cIoU"), ("auc", "AUC")):
        epochs = [line["epoch"] for line in scored]
        line = right.plot(epochs, [line["test"][key] for line in scored], marker=".", label=name)[0]
        band = np.array([entry["test"][f"{key}_95"] for entry in scored])
        right.fill_between(epochs, band[:, 0], band[:, 1], color=line.get_color(), alpha=0.15, linewidth=0)
        baseline = max(values[key] for values in scored[-1]["test"]["baselines"].values())
        right.axhline(baseline, color=line.get_color(), linestyle=":", label=f"{name}, best no-audio baseline")
    right.set(title="Test set (band: 95 % interval)", xlabel="epoch", ylim=(0, 1))
    right.legend(fontsize="small")
    names = dict.fromkeys(name for line in trained for name, value in line.items() if isinstance(value, float))
    for name in (name for name in names if name not in NO_DIAGNOSTICS):
        given = [line for line in trained if name in line]
        diagnostics.plot([line["epoch"] for line in given], [line[name] for line in given], marker=".", label=name)
    diagnostics.set(title="Diagnostics: spreads near 0, shares near 1 are bad", xlabel="epoch")
    diagnostics.set_yscale("symlog", linthresh=1e-3)
    diagnostics.set_ylim(-1e-4, 1.5)
    if diagnostics.lines:
        diagnostics.legend(fontsize="small")
    for axes in (left, right, diagnostics):
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
