"""The report's charts as SVG: text stays text, and the colours can be read on a light and on a dark page."""

import io
import re
from html import escape

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from utils.evaluation.metrics import SUCCESS, THRESHOLDS, success_auc, success_curve

INK = "#123456"  # replaced by the page's text colour
MODEL = "tab:blue"  # the first of the colours of curves
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color")
STYLE = dict.fromkeys(INKED, INK) | {
    "font.size": 10,
    "svg.fonttype": "none",  # text as text, in the page's font
    "svg.hashsalt": "report",  # the same results give the same file
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.columnspacing": 1,
}


def draw_curves(ious: dict[str, np.ndarray]) -> str:
    """SVG: the success curve of each name's (n,) IoUs; the first name is the model."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _new_chart(height=3.7)
        areas = {name: f"{name}, area {success_auc(values):.3f}" for name, values in ious.items()}
        for i, (name, values) in enumerate(ious.items()):
            style = {"linewidth": 1.4, "linestyle": (0, (2 + i, 2))} if i else {"linewidth": 2.4, "zorder": 3}
            axes.plot(THRESHOLDS, success_curve(values), label=areas[name], **style)
        axes.set_yticks(np.linspace(0, 1, 5))
        figure.legend(loc="outside lower left", ncols=2)
        return _svg(figure, f"Success curves. {'; '.join(areas.values())}")


def draw_histogram(ious: np.ndarray) -> str:
    """SVG: how many of (n,) IoUs lie in each of twenty bins; a hit has another colour."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _new_chart(height=2.9)
        counts = np.histogram(ious, THRESHOLDS)[0]
        colours = np.where(THRESHOLDS[:-1] < SUCCESS, INK, MODEL)
        bars = axes.bar(THRESHOLDS[:-1], counts, width=0.045, align="edge", color=colours)
        axes.bar_label(bars, [count or "" for count in counts], fontsize=7)
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel(f"{np.sum(ious >= SUCCESS)} of {len(ious)} items reach {SUCCESS}")
        return _svg(figure, f"Histogram of IoU: {axes.get_xlabel()}")


def _new_chart(height: float):
    figure = Figure((5, height), layout="constrained")
    axes = figure.add_subplot(xlim=(0, 1), xticks=np.linspace(0, 1, 5))
    axes.axvline(SUCCESS, color=INK, linewidth=0.8, linestyle=":")
    return figure, axes


def _svg(figure: Figure, label: str) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata=NO_METADATA)
    svg = buffer.getvalue().replace(INK, "currentColor")
    svg = re.sub(r' id="[a-z0-9]+_\d+"', "", svg[svg.index("<svg") :])  # names of parts, the same in both charts
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)
