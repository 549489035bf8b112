"""Curves of seeds: precision against recall of many seeders, and of labels at one threshold as points."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
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

    The dotted line is mP's level of recall. mP reads the precision at the lowest recall above it (metrics.seeds), which
    may be far above: so curves are steps, and where one meets the dotted line is what mP reads.
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
    how = {"color": colour(number), "label": name}
    if len(recall) == 1:  # labels of one threshold
        axes.plot(recall, precision, marker=MARKERS[number % len(MARKERS)], ls="none", ms=5, **how)
    else:
        dashes = DASHES[number // 4 % len(DASHES)]
        axes.plot(*corners(recall, precision), drawstyle="steps-pre", ls=dashes, lw=1.4, **how)


def corners(recall: np.ndarray, precision: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall, ascending from 0, and precision as "steps-pre" joins them: left of each point its own precision.

    recall, precision: (T,) in order of the thresholds; points without a precision are left out. Of equal recalls the
    first comes first, as in metrics.seeds.precision_after.
    """
    known = np.isfinite(precision)
    recall, precision = recall[known], precision[known]
    order = np.argsort(recall, kind="stable")
    recall, precision = recall[order], precision[order]
    return np.concatenate([0 * recall[:1], recall]), np.concatenate([precision[:1], precision])
