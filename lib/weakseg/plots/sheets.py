"""Whole sheets of pictures: the contact sheet, a row of maps, the grid of good and bad cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from weakseg.plots import panels
from weakseg.plots.panels import Panel


def contact_sheet(images: Sequence[np.ndarray], captions: Sequence[str], title: str, columns: int = 8) -> Figure:
    """Many pictures (H, W, 3), each under its caption (its tags), `columns` in a row."""
    cells = [(caption, panels.picture(image)) for image, caption in zip(images, captions, strict=True)]
    return panels.sheet(cells, title, columns)


def overlay(
    images: Sequence[np.ndarray], masks: Sequence[np.ndarray], captions: Sequence[str], title: str, columns: int = 8
) -> Figure:
    """Many pictures with their instance masks (n, H, W) laid over them, one colour an instance."""
    cells = [(c, panels.instances(i, m)) for i, m, c in zip(images, masks, captions, strict=True)]
    return panels.sheet(cells, title, columns)


def maps_row(image: np.ndarray, maps: Mapping[str, np.ndarray], title: str, high: float | None = 1.0) -> Figure:
    """The picture (H, W, 3) and beside it named maps (h, w) of any resolution, all on one scale from 0 to `high`."""
    row = {"picture": panels.picture(image)} | {name: panels.heat(m, image, high) for name, m in maps.items()}
    return panels.grid({"": row}, title)


def panel_row(image: np.ndarray, named: Mapping[str, Panel], title: str, size: float = 1.8) -> Figure:
    """The picture (H, W, 3) and beside it any named panels, in one row."""
    return panels.grid({"": {"picture": panels.picture(image)} | dict(named)}, title, size)


def qualitative_grid(cases: Mapping[str, Mapping[str, Panel]], title: str) -> Figure:
    """Cases as rows (best, median, worst), the same named panels in each."""
    return panels.grid(cases, title)
