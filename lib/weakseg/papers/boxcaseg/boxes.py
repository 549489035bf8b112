"""Boxes as the method wants them: whole pixels inside the picture, and a line for each that cannot be used."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weakseg.data.weak import BoxView, known_boxes
from weakseg.metrics.overlap import box_iou

Corners = tuple[int, int, int, int]
SHOWN = 5  # lines of trouble that are printed one by one


@dataclass(frozen=True)
class PictureBoxes:
    """The usable boxes of one picture. labels: int (n,), 0-based. corners: int (n, 4), x0, y0, x1, y1, half-open."""

    labels: np.ndarray
    corners: np.ndarray


def whole_box(box: Sequence[float], height: int, width: int) -> Corners:
    """A box cut to whole pixels towards 0, at least one pixel, inside the picture (as the released code does).

    Raises ValueError for a box without area and for one outside the picture.
    """
    x0, y0, x1, y1 = box
    if x1 <= x0 or y1 <= y0:
        raise ValueError(f"box {_text(box)} has no area")
    if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
        raise ValueError(f"box {_text(box)} lies outside the picture of {width}x{height} pixels")
    left, top = (max(0, int(side)) for side in (x0, y0))
    return left, top, min(width, max(left + 1, int(x1))), min(height, max(top + 1, int(y1)))


def _text(box: Sequence[float]) -> str:
    return ",".join(f"{side:g}" for side in box)


def usable_boxes(view: BoxView, split: str) -> list[PictureBoxes]:
    """The boxes of every picture of a view.

    A box that cannot be used and a picture without boxes are named and skipped; ValueError when nothing is left.
    """
    found, trouble = [], []
    for index, name in enumerate(view.names):
        boxes, lines = _of_picture(view, index)
        found.append(boxes)
        trouble += [f"{name}: {line}" for line in lines]
    if not any(len(boxes.labels) for boxes in found):
        raise ValueError(
            f"split {split}: no picture has a box to learn from ({'; '.join(trouble[:2])}); correct the annotations"
        )
    for line in trouble[:SHOWN]:
        print(f"boxes of {split}: {line}; skipped", flush=True)
    if len(trouble) > SHOWN:
        print(f"boxes of {split}: {len(trouble) - SHOWN} more such lines; skipped", flush=True)
    return found


def _of_picture(view: BoxView, index: int) -> tuple[PictureBoxes, list[str]]:
    """Usable boxes of one picture, and what is wrong with the others."""
    labels, corners, trouble = [], [], []
    annotated = known_boxes(view, index)
    height, width = view.image(index).shape[:2] if annotated else (0, 0)
    for box in annotated or ():
        try:
            corners.append(whole_box((box.x0, box.y0, box.x1, box.y1), height, width))
            labels.append(box.label)
        except ValueError as error:
            trouble.append(str(error))
    if not annotated:
        trouble = ["no annotation" if annotated is None else "no box"]
    return PictureBoxes(np.array(labels, np.int64), np.array(corners, np.int64).reshape(-1, 4)), trouble


def crowded(corners: np.ndarray, overlap: float = 0.5) -> np.ndarray:
    """bool (n,): which boxes (n, 4) of a picture overlap another one with an IoU above `overlap`."""
    iou = box_iou(corners, corners)
    np.fill_diagonal(iou, 0)
    return iou.max(1, initial=0) > overlap


def jittered(corners: Sequence[int], size: tuple[int, int], rng: np.random.Generator) -> Corners:
    """A box moved and stretched at random, inside the picture of (height, width), in whole pixels.

    As in the released code: the centre moves by U(-0.25, 0.25) times the half sides, the half sides change by U(0.5,
    1.5) each. The listing of the paper (section 3.2.2) reads as if the corner moved, by shares of the whole sides.
    """
    height, width = size
    low, high = np.array(corners[:2], float), np.array(corners[2:], float)
    centre, half = (low + high) / 2, (high - low) / 2
    centre, half = centre + rng.uniform(-0.25, 0.25, 2) * half, half * rng.uniform(0.5, 1.5, 2)
    moved = (*np.clip(centre - half, 0, [width - 1, height - 1]), *(centre + half))
    return whole_box(moved, height, width)
