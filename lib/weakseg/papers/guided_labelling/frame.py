"""Pictures laid into a square by reflection, and maps taken out of it again (Oh et al. 2017, released code)."""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Frame:
    """Where a picture of `size` (H, W) lies in a square of `side` pixels: rows and columns, half-open."""

    size: tuple[int, int]
    side: int
    top: int
    left: int
    height: int
    width: int


def frame_of(size: tuple[int, int], side: int | None, enlarge: bool = True) -> Frame | None:
    """The middle of a square of `side` pixels, with the long side of a picture of `size` made as long as it is.

    side: None is no frame at all. enlarge: False keeps the size of smaller pictures.
    """
    if side is None:
        return None
    scale = side / max(size)
    scale = scale if enlarge else min(1.0, scale)
    height, width = (min(side, max(1, round(length * scale))) for length in size)
    return Frame(size, side, (side - height) // 2, (side - width) // 2, height, width)


def framed(picture: np.ndarray, frame: Frame | None) -> np.ndarray:
    """The picture uint8 (H, W, 3) resized into its frame and reflected around it: (side, side, 3); as it is without."""
    if frame is None:
        return picture
    small = cv2.resize(picture, (frame.width, frame.height), interpolation=cv2.INTER_LINEAR)
    rows = frame.top, frame.side - frame.height - frame.top
    columns = frame.left, frame.side - frame.width - frame.left
    return np.pad(small, (rows, columns, (0, 0)), mode="reflect")


def unframed(maps: np.ndarray, size: tuple[int, int], frame: Frame | None) -> np.ndarray:
    """Maps float (n, h, w) over the framed picture, bilinear, cut to the picture: float32 (n, H, W) of `size`."""
    H, W = size
    if not len(maps):
        return np.zeros((0, H, W), np.float32)
    if frame is None:
        return _resized(maps, (H, W))
    inside = np.s_[:, frame.top : frame.top + frame.height, frame.left : frame.left + frame.width]
    return _resized(_resized(maps, (frame.side, frame.side))[inside], (H, W))


def _resized(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.stack([cv2.resize(each.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR) for each in maps])
