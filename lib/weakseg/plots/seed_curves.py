"""Curves of seeds: precision against recall of many seeders, and of labels at one threshold as points."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weakseg.metrics.seeds import BACKGROUND_RECALL, FOREGROUND_RECALL, SeedEvidence, curves
from weakseg.plots.canvas import colour
from weakseg.plots.charts import MARKERS
from weakseg.plots.panels import finished
from weakseg.plots.style import style

DASHES = ("-", "--", "-.", ":")
LEVELS = {"foreground": FOREGROUND_RECALL, "background": BACKGROUND_RECALL}


@style()
def precision_recall(evidence: Mapping[str, SeedEvidence], title: str) -> Figure:
    """Precision over recall of each named seeder, foreground (mean of the classes) beside background.

    The dotted line is the recall at which mP reads the precision.
    """
    figure, axes = plt.subplots(1, 2, figsize=(7.0, 3.0), sharey=True)
    for one, (side, level) in zip(axes, LEVELS.items(), strict=True):
        for number, (name, found) in enumerate(evidence.items()):
            _curve(one, curves(found), side, number, name)
        one.axvline(level, color="0.45", ls=":", lw=1.0)
        one.set(title=side, xlabel="recall", xlim=(0, 1.01), ylim=(0, 1.02))
    axes[0].set_ylabel("precision")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right center", fontsize=7)
    return finished(figure, title)


def _curve(axes: Axes, found: Mapping, side: str, number: int, name: str) -> None:
    recall, precision = found[f"{side}_recall"], found[f"{side}_precision"]
    point = len(recall) == 1  # labels of one threshold
    look = MARKERS[number % len(MARKERS)] if point else None
    dashes = "none" if point else DASHES[number // 4 % len(DASHES)]
    axes.plot(recall, precision, marker=look, color=colour(number), ls=dashes, lw=1.4, ms=5, label=name)
