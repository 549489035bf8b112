"""What lies inside a network, as panels: a vector of channels, and maps that still look like their picture."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from weakseg.plots.canvas import colour, pictures_shown
from weakseg.plots.panels import Panel, bare, heat, picture


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


def early(values: np.ndarray, image: np.ndarray) -> Panel:
    """A map (h, w) in [0, 1] of a network's first layers, which shows the picture (H, W, 3) nearly as it is: hidden, as
    the picture itself, where pictures are hidden.
    """
    return heat(values) if pictures_shown() else picture(image)
