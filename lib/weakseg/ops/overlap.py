"""Intersection over union of masks and of boxes."""

from __future__ import annotations

import numpy as np

_WORD = 64


def pack(masks: np.ndarray) -> np.ndarray:
    """Masks bool (n, H, W) as bits: uint64 (n, ceil(H * W / 64)), the rest of the last word zero."""
    flat = np.asarray(masks, dtype=bool).reshape(len(masks), -1)
    bits = np.packbits(flat, axis=1)
    words = -(-flat.shape[1] // _WORD)
    padded = np.zeros((len(flat), words * _WORD // 8), dtype=np.uint8)
    padded[:, : bits.shape[1]] = bits
    return padded.view(np.uint64)


def mask_iou(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """IoU (n, m) of bool masks (n, H, W) and (m, H, W); 0 for two empty masks.

    Intersections are counted on packed bits, 64 pixels at a time.

    Raises:
        ValueError: the masks differ in size.
    """
    if left.ndim != 3 or right.ndim != 3 or left.shape[1:] != right.shape[1:]:
        raise ValueError(f"masks of sizes {left.shape} and {right.shape}; both must be (n, H, W) of one picture")
    if not len(left) or not len(right):
        return np.zeros((len(left), len(right)))
    bits_left, bits_right = pack(left), pack(right)
    area_left = np.bitwise_count(bits_left).sum(axis=1, dtype=np.int64)
    area_right = np.bitwise_count(bits_right).sum(axis=1, dtype=np.int64)
    both = np.stack([np.bitwise_count(bits_left & row).sum(axis=1, dtype=np.int64) for row in bits_right], axis=1)
    union = area_left[:, None] + area_right[None] - both
    return both / np.maximum(union, 1)


def box_iou(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """IoU (n, m) of boxes (n, 4) and (m, 4) given as x0, y0, x1, y1 in pixels, half-open (width = x1 - x0)."""
    left, right = (np.asarray(boxes, dtype=np.float64).reshape(-1, 4) for boxes in (left, right))
    low = np.maximum(left[:, None, :2], right[None, :, :2])
    high = np.minimum(left[:, None, 2:], right[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(axis=2)
    union = _box_area(left)[:, None] + _box_area(right)[None] - both
    return np.divide(both, union, out=np.zeros_like(both), where=union > 0)


def _box_area(boxes: np.ndarray) -> np.ndarray:
    return np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)
