"""Rows and columns as bags, drawn around a picture (BoxCaseg figure 3)."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from weakseg.plots import panels
from weakseg.plots.panels import Panel

POSITIVE, NEGATIVE, BOX = "#c8381e", "#e8b90c", "#2458c8"


def bag_lines(image: np.ndarray, inside: np.ndarray, box: tuple[int, int, int, int] | None, every: int = 8) -> Panel:
    """Every `every`-th row and column: red where it meets `inside` bool (H, W), yellow elsewhere; the box in blue."""
    H, W = inside.shape

    def draw(axes: Axes) -> None:
        panels.picture(image)(axes)
        for y in range(every // 2, H, every):
            axes.plot([-0.5, W - 0.5], [y, y], color=POSITIVE if inside[y].any() else NEGATIVE, linewidth=0.9)
        for x in range(every // 2, W, every):
            axes.plot([x, x], [-0.5, H - 0.5], color=POSITIVE if inside[:, x].any() else NEGATIVE, linewidth=0.9)
        if box is not None:
            x0, y0, x1, y1 = box
            axes.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, edgecolor=BOX, linewidth=1.6))

    return draw
