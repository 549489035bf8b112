"""Small cases drawn by hand: shapes that a box cannot tell apart, and three objects that dispute pixels."""

import numpy as np
import torch

from weakseg.ops.bags import mil_loss, neighbour_loss
from weakseg.papers.boxcaseg.boxes import Corners

CERTAIN = 8.0  # logit of a pixel that is sure


def filled(box: Corners, size: tuple[int, int]) -> np.ndarray:
    """bool (H, W): the pixels in a box."""
    x0, y0, x1, y1 = box
    inside = np.zeros(size, bool)
    inside[y0:y1, x0:x1] = True
    return inside


def ellipse(box: Corners, size: tuple[int, int], wide: float = 1.0, high: float = 1.0) -> np.ndarray:
    """bool (H, W): the ellipse in the middle of a box, `wide` and `high` times as large as would touch its sides."""
    (x0, y0, x1, y1), (H, W) = box, size
    y, x = np.mgrid[:H, :W] + 0.5
    across, down = (x1 - x0) / 2 * wide, (y1 - y0) / 2 * high
    return ((x - (x0 + x1) / 2) / across) ** 2 + ((y - (y0 + y1) / 2) / down) ** 2 <= 1


def shapes(box: Corners, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """Masks bool (H, W) by name. The tight box of all but the last two is the given box."""
    x0, y0, x1, y1 = box
    inside = filled(box, size)
    y, x = np.mgrid[: size[0], : size[1]]
    middle = (abs(x - (x0 + x1) // 2) <= 1) | (abs(y - (y0 + y1) // 2) <= 1)
    slope = (y - y0) / (y1 - y0) - (x - x0) / (x1 - x0)
    return {
        "ellipse": ellipse(box, size),
        "whole box": inside,
        "cross": inside & middle,
        "diagonal": inside & (abs(slope) <= 1.5 / min(y1 - y0, x1 - x0)),
        "left half": inside & (x < (x0 + x1) // 2),
        "beyond the box": ellipse(box, size, 1.3, 1.3),
    }


def losses(mask: np.ndarray, inside: np.ndarray) -> dict[str, float]:
    """Both terms of the weak head for a mask bool (H, W) that is sure of itself, given the filled box bool (H, W)."""
    logits = torch.from_numpy(np.where(mask, CERTAIN, -CERTAIN))[None]
    bags = mil_loss(logits, torch.from_numpy(inside)[None])
    return {"bags": float(bags), "smooth": float(neighbour_loss(logits))}


def surface(box: Corners, size: tuple[int, int], scales: np.ndarray) -> np.ndarray:
    """Bag loss (n, n) of ellipses by height (rows) and width (columns), as shares of the box, certain to their rim."""
    inside = filled(box, size)
    return np.array([[losses(ellipse(box, size, w, h), inside)["bags"] for w in scales] for h in scales])


def three_objects() -> tuple[np.ndarray, np.ndarray]:
    """Masks bool (3, 12, 12) and boxes (3, 4): a large one, a small one within it, one that takes its right side."""
    boxes = np.array([[0, 0, 10, 10], [3, 3, 7, 7], [6, 0, 12, 12]])
    return np.array([filled(tuple(box), (12, 12)) for box in boxes]), boxes
