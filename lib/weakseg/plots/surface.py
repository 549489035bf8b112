"""A number over two settings, as a panel: colours with contour lines and named axes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from weakseg.plots.panels import Panel


def surface(values: np.ndarray, xs: Sequence[float], ys: Sequence[float], x: str, y: str) -> Panel:
    """Values (len(ys), len(xs)) over settings named x and y; dark is low. ValueError when the sizes do not fit."""
    if np.shape(values) != (len(ys), len(xs)):
        raise ValueError(f"surface: values of {np.shape(values)} for {len(ys)} of {y} and {len(xs)} of {x}")

    def draw(axes: Axes) -> None:
        shown = axes.pcolormesh(xs, ys, values, cmap="viridis", shading="nearest")
        axes.contour(xs, ys, values, colors="white", linewidths=0.6)
        axes.set_xlabel(x, fontsize=7)
        axes.set_ylabel(y, fontsize=7)
        axes.tick_params(labelsize=6)
        axes.set_aspect("auto")
        axes.figure.colorbar(shown, ax=axes).ax.tick_params(labelsize=6)

    return draw
