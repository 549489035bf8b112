"""GrabCut from a box (Rother, Kolmogorov and Blake, SIGGRAPH 2004), by OpenCV."""

from __future__ import annotations

import cv2
import numpy as np


def grabcut(
    image: np.ndarray, box: tuple[float, float, float, float], iterations: int = 5, margin: float = 0.25
) -> np.ndarray:
    """Foreground bool (H, W) of a picture uint8 (H, W, 3), given a box x0, y0, x1, y1 in pixels, half-open.

    Outside the box is sure background, inside is probably foreground. Only a window that exceeds the box by `margin`
    times its sides on each side is looked at: the colours that matter are near, and the cut takes half the time.
    A box that leaves no background in the picture, or no pixel, cannot be cut: the box itself is returned.

    Raises:
        ValueError: the box lies outside the picture.
    """
    H, W, _ = image.shape
    x0, y0, x1, y1 = pixel_box(box, H, W)
    left, right = max(0, round(x0 - margin * (x1 - x0))), min(W, round(x1 + margin * (x1 - x0)))
    top, bottom = max(0, round(y0 - margin * (y1 - y0))), min(H, round(y1 + margin * (y1 - y0)))
    filled = np.zeros((H, W), dtype=bool)
    filled[y0:y1, x0:x1] = True
    if filled[top:bottom, left:right].all():
        return filled
    labels = np.where(filled[top:bottom, left:right], cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    cv2.setRNGSeed(0)  # the colour models start from k-means, which draws from OpenCV's own generator
    window = np.ascontiguousarray(image[top:bottom, left:right])
    labels, _, _ = cv2.grabCut(window, labels, None, None, None, iterations, cv2.GC_INIT_WITH_MASK)
    result = np.zeros((H, W), dtype=bool)
    result[top:bottom, left:right] = (labels == cv2.GC_PR_FGD) | (labels == cv2.GC_FGD)
    return result


def pixel_box(box: tuple[float, float, float, float], height: int, width: int) -> tuple[int, int, int, int]:
    """The box in whole pixels, one at least, cut to the picture; ValueError when nothing of it is inside."""
    (x0, x1), (y0, y1) = _whole(box[0], box[2], width), _whole(box[1], box[3], height)
    if x0 >= x1 or y0 >= y1:
        raise ValueError(f"box {tuple(box)} holds no pixel of a picture of {height} x {width}; correct the annotation")
    return x0, y0, x1, y1


def _whole(low: float, high: float, size: int) -> tuple[int, int]:
    """The pixels from `low` to `high` nearest to both, within 0..size; of less than a pixel, the one in its middle."""
    low, high = (min(max(side, 0), size) for side in (low, high))
    first, end = round(low), round(high)
    if first == end and low < high:
        first = int((low + high) / 2)
        end = first + 1
    return int(first), int(end)
