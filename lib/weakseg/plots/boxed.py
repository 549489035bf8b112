"""Panels of boxes: several sets over one picture, as figures of detectors compare them."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from weakseg.plots.panels import Panel

TRUTH, OURS, OTHER = "#d62728", "#2ca02c", "#ff7f0e"  # figures 4, 7 and 8: true boxes are red


def boxed(panel: Panel, boxes: Mapping[str, np.ndarray], width: float = 1.4) -> Panel:
    """`panel` with the outlines of boxes (n, 4) of every colour over it, the first colour lowest.

    Boxes are x0, y0, x1, y1 in pixels, half-open. What the colours mean belongs into a title.
    """

    def draw(axes: Axes) -> None:
        panel(axes)
        for colour, corners in boxes.items():
            for box in np.asarray(corners, float).reshape(-1, 4):
                _outline(axes, box, colour, width)

    return draw


def scored(panel: Panel, boxes: np.ndarray, scores: np.ndarray, colour: str = OURS) -> Panel:
    """`panel` with boxes (n, 4) whose lines are as thick and as solid as their scores (n,), relative to the best."""

    def draw(axes: Axes) -> None:
        panel(axes)
        strength = scores / max(float(scores.max(initial=0)), 1e-9)
        for place in np.argsort(strength, kind="stable"):
            _outline(axes, boxes[place], colour, 0.4 + 2 * strength[place], max(0.08, strength[place]))

    return draw


def _outline(axes: Axes, box: np.ndarray, colour: str, width: float, alpha: float = 1.0) -> None:
    x0, y0, x1, y1 = box
    place = (x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0  # pixel k is drawn from k - 0.5 to k + 0.5
    axes.add_patch(plt.Rectangle(*place, fill=False, edgecolor=colour, linewidth=width, alpha=alpha))
