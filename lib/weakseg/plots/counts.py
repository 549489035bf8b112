"""Pictures of counting: predicted numbers against true ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weakseg.plots.canvas import colour
from weakseg.plots.panels import finished
from weakseg.plots.style import style

MOST = 6  # larger numbers share the last row or column


def table_of(predicted: np.ndarray, true: np.ndarray, most: int = MOST) -> np.ndarray:
    """How many pictures have which true number (row) and predicted one (column), (most + 1, most + 1); larger numbers
    count as `most`. predicted, true: int (N,).
    """
    found = np.zeros((most + 1, most + 1), int)
    np.add.at(found, (np.minimum(true, most), np.minimum(predicted, most)), 1)
    return found


@style()
def confusion(pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], title: str) -> Figure:
    """One panel for each name: pictures by true number (down) and predicted number (across); the share that is right
    stands above. pairs: {name: (predicted (N,), true (N,))}. Raises ValueError where there is no picture.
    """
    if not pairs or not all(len(predicted) for predicted, _ in pairs.values()):
        raise ValueError(f"figure '{title}' has no picture to count: give every name at least one")
    figure, axes = plt.subplots(1, len(pairs), figsize=(2.7 * len(pairs), 2.75), squeeze=False)
    for one, (name, (predicted, true)) in zip(axes[0], pairs.items(), strict=True):
        _draw(one, table_of(predicted, true))
        right = 100 * float(np.mean(np.asarray(predicted) == np.asarray(true)))
        one.set_title(f"{name}: {right:.0f} % right", fontsize=8)
    return finished(figure, title)


@style()
def curves(frame: pd.DataFrame, x: str, names: Sequence[str], title: str) -> Figure:
    """Counts in the columns `names` over column `x`, in one panel."""
    figure, axes = plt.subplots(figsize=(4.2, 2.4))
    for number, name in enumerate(names):
        axes.plot(frame[x], frame[name], "os^D"[number % 4] + "-", color=colour(number), ms=3, label=f"{name} count")
    axes.set(xlabel=x, ylabel="count", ylim=(0, None))
    axes.legend(fontsize=7)
    return finished(figure, title)


def _draw(axes: Axes, found: np.ndarray) -> None:
    axes.imshow(found, cmap="Blues", vmin=0, vmax=max(1, found.max()) * 1.25)
    for (row, column), pictures in np.ndenumerate(found):
        if pictures:
            ink = "white" if pictures > 0.7 * found.max() else "0.1"
            weight = "bold" if row == column else "normal"
            axes.text(column, row, pictures, ha="center", va="center", fontsize=7, color=ink, fontweight=weight)
    axes.plot([-0.5, MOST + 0.5], [-0.5, MOST + 0.5], color="0.5", lw=0.7, ls=":")
    names = [*range(MOST), f"{MOST}+"]
    axes.set(xticks=range(MOST + 1), yticks=range(MOST + 1), xticklabels=names, yticklabels=names)
    axes.set(xlabel="predicted number", ylabel="true number")
