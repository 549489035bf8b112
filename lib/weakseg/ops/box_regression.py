"""Offsets from a proposal to a box (Girshick et al. 2014; Hwang et al. 2021, equations 5 and 14).

Boxes are x0, y0, x1, y1 in pixels, half-open.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LARGEST = math.log(1000 / 16)  # of the log ratio of sides, so that an early prediction cannot overflow


def _centre_form(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Centres (..., 2) and sides (..., 2)."""
    sides = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + sides / 2, sides


def offsets(proposals: Tensor, targets: Tensor) -> Tensor:
    """t_x = (g_x - p_x) / p_w, t_y alike, t_w = log(g_w / p_w), t_h alike (equation 14), (N, 4); x, y are centres."""
    (centre, sides), (wanted, wanted_sides) = _centre_form(proposals), _centre_form(targets)
    return torch.cat([(wanted - centre) / sides, (wanted_sides / sides).log()], -1)


def moved(proposals: Tensor, by: Tensor) -> Tensor:
    """The boxes (N, 4) that the offsets `by` (N, 4) lead to: the inverse of `offsets`."""
    centre, sides = _centre_form(proposals)
    centre = centre + by[..., :2] * sides
    sides = sides * by[..., 2:].clamp(max=LARGEST).exp()
    return torch.cat([centre - sides / 2, centre + sides / 2], -1)


def inside(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes (N, 4) cut to a picture of `size` (H, W), at least one pixel wide and high."""
    H, W = size
    low = torch.stack([boxes[:, 0].clamp(0, W - 1), boxes[:, 1].clamp(0, H - 1)], 1)
    high = torch.stack([boxes[:, 2].clamp(max=W), boxes[:, 3].clamp(max=H)], 1)
    return torch.cat([low, torch.maximum(high, low + 1)], 1)


def of_class(predicted: Tensor, label: Tensor) -> Tensor:
    """The offsets (N, 4) of class label (N,), 0-based, from (N, 4 C); those of a class-agnostic regressor (N, 4)."""
    N, width = predicted.shape
    if width == 4:
        return predicted
    return predicted.view(N, width // 4, 4)[torch.arange(N, device=label.device), label]


def regression_losses(predicted: Tensor, targets: Tensor, paired: Tensor) -> Tensor:
    """Smooth L1 summed over the four offsets, 0 for proposals without a pair (equation 5): (N,), to be divided by |R|.

    predicted, targets: (N, 4). paired: bool (N,).
    """
    each = F.smooth_l1_loss(predicted, targets, reduction="none").sum(1)
    return torch.where(paired, each, 0.0)
