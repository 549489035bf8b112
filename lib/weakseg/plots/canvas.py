"""What lies under a mask: the picture, or an empty sheet.

One switch for the whole library: a picture is shown only after `show_pictures` was told that it is a drawn one.
Photographs belong to their owners, so figures made from them carry masks, maps and outlines on an empty sheet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from skimage.segmentation import find_boundaries

from weakseg.plots.style import label_colours

SHEET = 0.93  # grey of the empty sheet: light enough for print, dark enough to show where the picture ends
MANY = 24  # colours before they repeat


class Layout(Protocol):
    """Anything that names where its pictures come from, such as the `data` group of a run's params."""

    layout: str


class _Switch:
    shown = False


def show_pictures(data: Layout | None) -> bool:
    """Let the figures show pictures if `data` is drawn by this project (layout "menagerie"), and hide all others.

    Until the first call every picture is hidden. Returns whether pictures are shown from now on.
    """
    _Switch.shown = data is not None and data.layout == "menagerie"
    return _Switch.shown


def pictures_shown() -> bool:
    """Whether figures show pictures."""
    return _Switch.shown


def backdrop(image: np.ndarray) -> np.ndarray:
    """Picture (H, W, 3), uint8 or in [0, 1] -> float RGB in [0, 1]; an empty sheet of its size where pictures are
    hidden.
    """
    H, W = image.shape[:2]
    if not _Switch.shown:
        return np.full((H, W, 3), SHEET)
    return image / 255.0 if image.dtype == np.uint8 else np.clip(image, 0.0, 1.0).astype(float)


def pale(image: np.ndarray) -> np.ndarray:
    """The backdrop without its colours and half its contrast, so that a tint upon it reads the same everywhere."""
    grey = backdrop(image).mean(axis=2, keepdims=True)
    return np.repeat(0.45 * SHEET + 0.55 * grey, 3, axis=2)


def colour(index: int) -> np.ndarray:
    """RGB (3,) in [0, 1] of class or instance `index` (0-based), the house palette of label `index + 1`."""
    return label_colours(MANY + 1)[index % MANY + 1]


def paint(image: np.ndarray, masks: np.ndarray, colours: Sequence[int], strength: float = 0.55) -> np.ndarray:
    """Lay masks (n, H, W) over the paled picture (H, W, 3), each tinted and outlined in its colour -> RGB (H, W, 3)."""
    canvas = pale(image)
    for mask, index in zip(masks, colours, strict=True):
        mask = mask.astype(bool)
        canvas[mask] = (1 - strength) * canvas[mask] + strength * colour(index)
        canvas[find_boundaries(mask, mode="inner")] = 0.7 * colour(index)
    return canvas
