"""A vector as a panel: one bar for each channel."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from weakseg.plots.canvas import colour
from weakseg.plots.panels import Panel, bare


def strip(values: np.ndarray, high: float | None = None) -> Panel:
    """Values (C,), not negative, as bars from 0 to `high` (None: their maximum), in the order of the channels."""
    top = high if high is not None else max(float(values.max()), 1e-9)

    def draw(axes: Axes) -> None:
        axes.bar(np.arange(len(values)), values, width=1.0, color=colour(0))
        axes.set(xlim=(-0.5, len(values) - 0.5), ylim=(0, top), box_aspect=1)
        bare(axes)
        axes.spines["bottom"].set_visible(True)
        axes.spines["left"].set_visible(True)

    return draw
