"""Relation mining on one picture: which pairs of pixels teach IRNet, and what each pair says."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from weakseg.plots import panels
from weakseg.plots.panels import VOID, Panel

# kind of pair -> (colour, line style), none of them a colour of classes; told apart by style too, for print
KINDS = {"same class": ("black", "-"), "both background": ("black", ":"), "different": ("#C00018", "--")}


def kinds_of(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Kind of each pair from its two labels (n,): 0 same class, 1 both background, 2 different, -1 where one is not
    decided.
    """
    kind = np.where(first != second, 2, np.where(first == 0, 1, 0))
    return np.where((first == VOID) | (second == VOID), -1, kind)


def sample_pairs(labels: np.ndarray, radius: int, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw up to `count` usable pairs of each kind within `radius` cells on a label grid (h, w) -> ends (m, 2, 2) as
    (y, x), kinds (m,).
    """
    rng = np.random.default_rng(seed)
    h, w = labels.shape
    starts = np.stack([rng.integers(0, h, 200 * count), rng.integers(0, w, 200 * count)], axis=1)  # (m, 2)
    steps = rng.integers(1 - radius, radius, starts.shape)
    ends = np.stack([starts, starts + steps], axis=1)  # (m, 2, 2)
    length = (steps**2).sum(axis=1)
    inside = (ends >= 0).all(axis=(1, 2)) & (ends < (h, w)).all(axis=(1, 2)) & (length > 0) & (length < radius**2)
    ends = ends[inside]
    kinds = kinds_of(labels[ends[:, 0, 0], ends[:, 0, 1]], labels[ends[:, 1, 0], ends[:, 1, 1]])
    picked = np.concatenate([np.flatnonzero(kinds == kind)[:count] for kind in range(len(KINDS))])
    return ends[picked], kinds[picked]


def pair_relations(image: np.ndarray, labels: np.ndarray, ends: np.ndarray, kinds: np.ndarray) -> Panel:
    """Pairs (m, 2, 2) of grid cells (y, x) drawn over the relation labels (h, w) on the picture (H, W, 3), one style
    a kind.
    """

    def draw(axes: Axes) -> None:
        scale = np.array(image.shape[:2]) / np.array(labels.shape)
        rows, columns = (np.arange(n) * labels.shape[i] // n for i, n in enumerate(image.shape[:2]))
        panels.labels(image, labels[np.ix_(rows, columns)])(axes)
        centres = (ends + 0.5) * scale - 0.5
        for number, (tint, style) in enumerate(KINDS.values()):
            lines = centres[kinds == number][..., ::-1]  # (m, 2, xy)
            axes.add_collection(LineCollection(lines, colors="white", linewidths=2.4))
            axes.add_collection(LineCollection(lines, colors=tint, linestyles=style, linewidths=1.3))

    return draw


def pair_key() -> Panel:
    """What the line styles of `pair_relations` mean."""

    def draw(axes: Axes) -> None:
        lines = [Line2D([], [], color=tint, ls=style, lw=1.6) for tint, style in KINDS.values()]
        axes.legend(lines, list(KINDS), loc="center", fontsize=7, frameon=False)
        panels.bare(axes)

    return draw
