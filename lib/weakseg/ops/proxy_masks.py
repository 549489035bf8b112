"""Masks made from boxes: whose is a disputed pixel, and which mask fits its box (BoxCaseg section 3.4)."""

import numpy as np

from weakseg.nets.final import boxes_of


def areas(boxes: np.ndarray) -> np.ndarray:
    """Areas (n,) of boxes (n, 4), x0, y0, x1, y1 in pixels, half-open."""
    return (boxes[:, 2:] - boxes[:, :2]).prod(1)


def merged(masks: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Masks bool (n, H, W) in which each pixel belongs to one object at most: that of the smaller box (n, 4).

    "Smaller object better": small objects lie within the boxes of large ones more often than the other way round. The
    given boxes are compared, not the masks; of two equal boxes the later one wins.
    """
    n = len(masks)
    place = np.empty(n, np.int64)
    place[np.argsort(-areas(boxes), kind="stable")] = np.arange(1, n + 1)  # painting order
    owner = (masks * place[:, None, None]).max(0, initial=0)  # (H, W)
    return masks & (owner == place[:, None, None])


def agreement(masks: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """IoU (n,) of the tight box of each mask with its given box in whole pixels; 0 for an empty mask.

    "Proxy box agreement": the released code counts corners as pixels inside (+ 1), the same as half-open boxes do;
    it gives an empty mask the box of the single pixel 0,0, whose IoU is as good as 0.
    """
    tight = boxes_of(masks)
    both = np.minimum(tight[:, 2:], boxes[:, 2:]) - np.maximum(tight[:, :2], boxes[:, :2])
    common = np.clip(both, 0, None).prod(1)
    return common / np.maximum(areas(tight) + areas(boxes) - common, 1)
