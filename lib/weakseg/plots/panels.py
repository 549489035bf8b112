"""Panels: the small pictures that every figure is made of, and the sheet that holds them.

A panel is a function that draws into one matplotlib axes. `grid` lays panels out; everything else makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weakseg.plots.canvas import SHEET, backdrop, colour, paint, pale, pictures_shown
from weakseg.plots.style import style

Panel = Callable[[Axes], None]
VOID = 255
UNDECIDED = 0.45  # grey of pixels without a label


def bare(axes: Axes) -> None:
    """Take ticks and frame off, keeping the axis label that names a row."""
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def extent_of(shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """Where `imshow` must lay a coarse map so that it covers a picture of `shape` (H, W, ...)."""
    return (-0.5, shape[1] - 0.5, shape[0] - 0.5, -0.5)


def picture(image: np.ndarray) -> Panel:
    """The picture itself (H, W, 3), or the empty sheet with a word why where pictures are hidden."""

    def draw(axes: Axes) -> None:
        _show(axes, backdrop(image))
        if not pictures_shown():
            axes.text(
                0.5, 0.5, "photograph,\nnot shown", transform=axes.transAxes, ha="center", va="center", fontsize=6
            )

    return draw


def heat(values: np.ndarray, image: np.ndarray | None = None, high: float | None = 1.0, cmap: str = "viridis") -> Panel:
    """A map (h, w) of numbers from 0 to `high` (None: its maximum), over the paled picture (H, W, 3) if one is
    given.
    """

    def draw(axes: Axes) -> None:
        under = None if image is None else pale(image)
        extent = extent_of((values if image is None else image).shape)
        if under is not None:
            axes.imshow(under, extent=extent)
        top = high if high is not None else max(float(values.max()), 1e-9)
        axes.imshow(values, cmap=cmap, vmin=0, vmax=top, extent=extent, alpha=None if image is None else 0.7)
        bare(axes)

    return draw


def instances(image: np.ndarray, masks: np.ndarray, captions: Sequence[str] = ()) -> Panel:
    """Masks (n, H, W) bool, one colour an instance, each with its caption written at its centre."""

    def draw(axes: Axes) -> None:
        _show(axes, paint(image, masks, range(len(masks))))
        for mask, caption in zip(masks, captions, strict=False):
            _caption(axes, mask, caption)

    return draw


def labels(image: np.ndarray, label_map: np.ndarray) -> Panel:
    """A label map (H, W): 0 background, 1..C in the colours of their classes, 255 dark grey for "not decided"."""

    def draw(axes: Axes) -> None:
        classes = [int(c) for c in np.unique(label_map) if c not in (0, VOID)]
        masks = np.array([label_map == c for c in classes])
        canvas = paint(image, masks, [c - 1 for c in classes], strength=0.7)
        canvas[label_map == VOID] = UNDECIDED
        _show(axes, canvas)

    return draw


def outlines(image: np.ndarray, masks: np.ndarray) -> Panel:
    """Only the contours of masks (n, H, W), black on the backdrop: the truth, beside which a guess is judged."""

    def draw(axes: Axes) -> None:
        _show(axes, backdrop(image))
        for mask in masks:
            axes.contour(mask, levels=[0.5], colors="black", linewidths=1.3)

    return draw


@style()
def grid(rows: Mapping[str, Mapping[str, Panel]], title: str, size: float = 1.5) -> Figure:
    """Lay out panels: `rows` maps a row's name to {column name: panel}. Equal column names stand above the first row
    only.

    `size` is one panel's side in inches. Raises ValueError where there is no panel to draw.
    """
    if not rows or not all(rows.values()):
        raise ValueError(f"figure '{title}' has no panel to draw: give every row at least one panel")
    first, columns = tuple(next(iter(rows.values()))), max(len(row) for row in rows.values())
    shape = (size * columns + 0.3, size * len(rows) + 0.5)
    figure, axes = plt.subplots(len(rows), columns, figsize=shape, squeeze=False)
    for line, (row_axes, (name, row)) in enumerate(zip(axes, rows.items(), strict=True)):
        _fill_row(row_axes, row, titled=line == 0 or tuple(row) != first)
        row_axes[0].set_ylabel(name, fontsize=7.5)
    return finished(figure, title)


@style()
def sheet(cells: Sequence[tuple[str, Panel]], title: str, columns: int = 8, size: float = 1.0) -> Figure:
    """Lay out (caption, panel) cells like words on a page, `columns` a line. Raises ValueError where there is none."""
    if not cells:
        raise ValueError(f"figure '{title}' has no panel to draw: give at least one")
    lines = -(-len(cells) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(size * columns, (size + 0.12) * lines + 0.25), squeeze=False)
    for one in axes.flat[len(cells) :]:
        one.set_axis_off()
    for one, (caption, panel) in zip(axes.flat, cells, strict=False):
        panel(one)
        one.set_title(caption, fontsize=6.5, pad=2, loc="center")
    return finished(figure, title)


@style()
def key(names: Sequence[str], title: str = "Classes and their colours") -> Figure:
    """The colour key of label maps: background, then one patch a class in the order of `names`, then "not decided"."""
    entries = [("background", np.full(3, SHEET)), *((name, colour(i)) for i, name in enumerate(names))]
    entries.append(("not decided", np.full(3, UNDECIDED)))
    figure, axes = plt.subplots(figsize=(0.9 * len(entries) + 0.3, 0.75))
    for x, (name, tint) in enumerate(entries):
        axes.add_patch(plt.Rectangle((x + 0.05, 0.4), 0.9, 0.6, color=tint))
        axes.text(x + 0.5, 0.2, name, ha="center", va="center", fontsize=7)
    axes.set(xlim=(0, len(entries)), ylim=(0, 1.05))
    axes.set_axis_off()
    return finished(figure, title)


def finished(figure: Figure, title: str) -> Figure:
    """Give the figure its title and take it off pyplot's desk, so that a notebook shows it once: as the cell's
    value.
    """
    figure.suptitle(title, fontsize=9)
    plt.close(figure)
    return figure


def _fill_row(axes: np.ndarray, row: Mapping[str, Panel], titled: bool) -> None:
    for one in axes[len(row) :]:
        one.set_axis_off()
    for one, (column, panel) in zip(axes, row.items(), strict=False):
        panel(one)
        if titled:
            one.set_title(column, fontsize=7.5, loc="center")


def _show(axes: Axes, image: np.ndarray) -> None:
    axes.imshow(image, interpolation="nearest")
    bare(axes)


def _caption(axes: Axes, mask: np.ndarray, caption: str) -> None:
    ys, xs = np.nonzero(mask)
    if len(ys):
        box = dict(boxstyle="round,pad=0.15", fc="white", ec="none", alpha=0.75)
        axes.text(xs.mean(), ys.mean(), caption, fontsize=5.5, ha="center", va="center", bbox=box, clip_on=True)
