"""Which pictures a figure of detections shows: ranked by how well boxes fit the true ones, never by eye."""

from collections.abc import Callable

import numpy as np

from weakseg.data.coco import PictureSet
from weakseg.data.weak import boxes
from weakseg.metrics.overlap import box_iou

Found = tuple[np.ndarray, np.ndarray]  # boxes (n, 4), labels (n,)


def corners_of(pictures: PictureSet, index: int) -> Found:
    """The true boxes (m, 4) of a picture, x0, y0, x1, y1 in pixels, half-open, and their labels (m,), 0-based."""
    found = boxes(pictures, index)
    corners = np.array([[box.x0, box.y0, box.x1, box.y1] for box in found], float).reshape(-1, 4)
    return corners, np.array([box.label for box in found], int)


def box_fit(found: Found, truth: Found) -> float:
    """Mean over true boxes of the best IoU with a box of their class, in percent; nan without true boxes."""
    overlap = box_iou(found[0], truth[0]) * (found[1][:, None] == truth[1][None])
    return 100 * float(overlap.max(axis=0, initial=0).mean()) if len(truth[1]) else float("nan")


def box_quality(pictures: PictureSet, boxes_of: Callable[[str], Found]) -> dict[str, float]:
    """`box_fit` of boxes_of(name) for every picture that has a true box."""
    fits = {name: box_fit(boxes_of(name), corners_of(pictures, index)) for index, name in enumerate(pictures.names)}
    return {name: fit for name, fit in fits.items() if np.isfinite(fit)}
