"""Maps read inside boxes, laid back into their pictures."""

import cv2
import numpy as np


def whole_corners(box: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box x0, y0, x1, y1 as whole pixels inside a picture of `size` (H, W), at least one pixel."""
    H, W = size
    x0, y0 = (int(np.clip(round(float(side)), 0, limit - 1)) for side, limit in zip(box[:2], (W, H), strict=True))
    x1, y1 = (int(np.clip(round(float(side)), 0, limit)) for side, limit in zip(box[2:], (W, H), strict=True))
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def pasted(values: np.ndarray, boxes: np.ndarray, size: tuple[int, int], threshold: float) -> np.ndarray:
    """Masks bool (n, H, W): each map stretched over its box, bilinear, above `threshold`; nothing outside the box.

    Args:
        values: (n, T, T) float. boxes: (n, 4), x0, y0, x1, y1 half-open, in pixels of the picture.
    """
    masks = np.zeros((len(boxes), *size), bool)
    for mask, value, box in zip(masks, values, boxes, strict=True):
        x0, y0, x1, y1 = whole_corners(box, size)
        full = cv2.resize(value.astype(np.float32), (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
        mask[y0:y1, x0:x1] = full > threshold
    return masks


def spread(values: np.ndarray, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Float (H, W): every map (n, T, T) stretched over its box (n, 4), bilinear; the highest where boxes overlap, 0
    outside them.
    """
    heat = np.zeros(size, np.float32)
    for value, box in zip(values, boxes, strict=True):
        x0, y0, x1, y1 = whole_corners(box, size)
        full = cv2.resize(value.astype(np.float32), (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
        heat[y0:y1, x0:x1] = np.maximum(heat[y0:y1, x0:x1], full)
    return heat
