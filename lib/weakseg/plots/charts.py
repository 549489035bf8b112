"""Charts of numbers: a value swept, bars with the spread of seeds, losses over a training, precision against recall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weakseg.metrics.instance_ap import InstanceEvidence, average_precision, threshold_index
from weakseg.plots.canvas import colour
from weakseg.plots.panels import finished
from weakseg.plots.style import style

MARKERS = "osD^vPX*"


@style()
def sweep(
    frame: pd.DataFrame, x: str, values: Sequence[str], title: str, chosen: float | None = None, log: bool = False
) -> Figure:
    """One panel for each column of `values` against column `x`: mean over rows of one x, their range shaded, `chosen`
    marked.

    `frame` has a row for each x and seed. Raises ValueError naming a column that is missing.
    """
    missing = [c for c in (x, *values) if c not in frame]
    if missing:
        raise ValueError(f"figure '{title}': the sweep has no column {missing[0]}; it has {', '.join(map(str, frame))}")
    figure, axes = plt.subplots(1, len(values), figsize=(2.7 * len(values) + 0.3, 2.3), squeeze=False)
    for i, (one, value) in enumerate(zip(axes[0], values, strict=True)):
        _curve(one, frame.groupby(x)[value], i)
        one.set(
            xlabel=x, ylabel=f"{value} (%)", ylim=(max(frame[value].min() - 2, 0), min(frame[value].max() + 2, 100))
        )
        if log:
            one.set_xscale("log", base=2)
            one.set_xticks(ticks := sorted(set(frame[x])), [f"{tick:g}" for tick in ticks])
        if chosen is not None:
            one.axvline(chosen, color="0.45", ls=":", lw=1.2, label=f"used: {chosen:g}")
            one.legend(fontsize=6.5)
    return finished(figure, title)


@style()
def bars(frame: pd.DataFrame, value: str, title: str, paper: Mapping[str, float] | None = None) -> Figure:
    """Horizontal bars of column `value` in percent by column "row": mean, a dot for each seed, a diamond for the
    paper's number.
    """
    names = list(dict.fromkeys(frame["row"]))
    figure, axes = plt.subplots(figsize=(5.6, 0.38 * len(names) + 0.9))
    for y, name in enumerate(names):
        seeds = frame.loc[frame["row"] == name, value].to_numpy(float)
        axes.barh(y, seeds.mean(), height=0.62, color=colour(4), edgecolor="0.2", lw=0.6)
        axes.plot(seeds, np.full(len(seeds), y), "o", color="0.15", ms=3, label="one seed" if y == 0 else None)
        axes.text(1.02, y, f"{seeds.mean():.1f}", transform=axes.get_yaxis_transform(), va="center", fontsize=7.5)
    _paper_marks(axes, names, paper or {})
    axes.set(yticks=range(len(names)), yticklabels=names, xlabel=f"{value} (%)", xlim=(0, 100))
    axes.invert_yaxis()
    axes.legend(fontsize=6.5, loc="lower right", bbox_to_anchor=(1, 0.99), ncols=2)
    return finished(figure, title)


@style()
def losses(log: pd.DataFrame, columns: Sequence[str], title: str) -> Figure:
    """Every loss of a training log against its column `step`, one panel each, smoothed over a twentieth of the rows.

    A row is the mean of the steps since the row before, so rows are fewer than steps.
    """
    figure, axes = plt.subplots(1, len(columns), figsize=(2.1 * len(columns) + 0.3, 1.9), squeeze=False)
    for i, (one, column) in enumerate(zip(axes[0], columns, strict=True)):
        series = log[column].rolling(max(1, len(log) // 20), min_periods=1).mean()
        one.plot(log["step"], log[column], color="0.8", lw=0.6)
        one.plot(log["step"], series, color=colour(i), lw=1.5)
        one.set(title=column, xlabel="step", ylim=(0, None))
    return finished(figure, title)


@style()
def precision_recall(curves: Mapping[str, tuple[np.ndarray, np.ndarray, float]], title: str) -> Figure:
    """Precision over recall for each name: {name: (recall (n,), precision (n,), average precision in percent)}."""
    figure, axes = plt.subplots(figsize=(4.9, 2.9))
    for i, (name, (recall, precision, ap)) in enumerate(curves.items()):
        axes.step(
            recall, precision, where="pre", color=colour(i), ls=("-", "--", "-.", ":")[i % 4], label=f"{name}: {ap:.1f}"
        )
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.03))
    beside = {"loc": "upper left", "bbox_to_anchor": (1.01, 1)}  # curves fill the axes
    axes.legend(**beside, fontsize=6.5, title="average precision", title_fontsize=6.5)
    return finished(figure, title)


@style()
def histogram(values: Sequence[float], name: str, title: str) -> Figure:
    """How many pictures have which value in percent (ten bars from 0 to 100); the median is marked."""
    figure, axes = plt.subplots(figsize=(4.2, 2.2))
    axes.hist(values, bins=np.arange(0, 101, 10), color=colour(4), edgecolor="0.2", lw=0.6)
    axes.axvline(float(np.median(values)), color="0.3", ls="--", lw=1.2, label=f"median {np.median(values):.0f}")
    axes.set(xlabel=name, ylabel="pictures", xlim=(0, 100))
    axes.legend(fontsize=6.5)
    return finished(figure, title)


def ranked_curve(
    evidence: InstanceEvidence, label: int, threshold: float = 0.5
) -> tuple[np.ndarray, np.ndarray, float]:
    """Recall (n,), precision (n,) and average precision in percent (0 without truth) of one class, by falling score."""
    step, found = threshold_index(evidence.thresholds, threshold), evidence.label == label
    order = np.argsort(-evidence.score[found], kind="stable")
    right = evidence.matched[found, step][order].cumsum()
    recall = right / max(evidence.truth_count[:, label].sum(), 1)
    ap = average_precision(evidence)[step, label]
    return recall, right / np.arange(1, len(right) + 1), 100 * float(np.nan_to_num(ap))


def _curve(axes: Axes, grouped: pd.core.groupby.SeriesGroupBy, number: int) -> None:
    mean, low, high = grouped.mean(), grouped.min(), grouped.max()
    axes.fill_between(mean.index, low, high, color=colour(number), alpha=0.25, lw=0)
    axes.plot(mean.index, mean, MARKERS[number % len(MARKERS)] + "-", color=colour(number), ms=4)


def _paper_marks(axes: Axes, names: Sequence[str], paper: Mapping[str, float]) -> None:
    marked = [(paper[name], y) for y, name in enumerate(names) if paper.get(name) is not None]
    if marked:
        xs, ys = zip(*marked, strict=True)
        axes.plot(xs, ys, "D", mfc="white", mec=colour(3), ms=5, ls="none", label="the paper, on its own data")
