"""Rows and columns as bags: what a box says about the pixels around it (Hsu et al., NeurIPS 2019, "BBTP").

An object touches all four sides of its tight box, so every row and column that crosses the box holds at least one pixel
of it (a positive bag), and every line that misses the box holds none (a negative bag).
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Reduction = Literal["mean", "sum"]
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))  # half of the eight neighbours: the other half are the same pairs


def filled_boxes(boxes: Tensor, height: int, width: int) -> Tensor:
    """bool (B, H, W): the pixels inside boxes (B, 4), given as x0, y0, x1, y1 in pixels, half-open."""
    x0, y0, x1, y1 = boxes.unbind(1)
    x, y = (torch.arange(side, device=boxes.device) for side in (width, height))
    columns, rows = (x >= x0[:, None]) & (x < x1[:, None]), (y >= y0[:, None]) & (y < y1[:, None])
    return rows[:, :, None] & columns[:, None, :]  # (B, H, W)


def line_maxima(maps: Tensor) -> Tensor:
    """Maximum of every row, then of every column: (B, H, W) -> (B, H + W). The gradient goes to one pixel a line."""
    if maps.dtype == torch.bool:
        return torch.cat([maps.any(2), maps.any(1)], 1)
    return torch.cat([maps.max(2).values, maps.max(1).values], 1)  # (B, H + W)


def mil_loss(logits: Tensor, inside: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Cross entropy of bags (BoxCaseg eq. 1, its unary terms; BBTP eq. 3), averaged over pictures.

        L = - sum over B in B+ of log max_{p in B} S(p)  -  sum over B in B- of log(1 - max_{p in B} S(p))

    Args:
        logits: (B, H, W); S is their sigmoid, which keeps maxima where they are.
        inside: bool (B, H, W), a filled box or a mask. A line that meets it is a positive bag as a whole: the part of
            it outside the box is held down by the perpendicular negative lines only.
        reduction: of the H + W bags of a picture: "mean" as the released code, "sum" as the paper prints it.
    """
    B, H, W = logits.shape
    bags, labels = line_maxima(logits), line_maxima(inside)
    each = F.binary_cross_entropy_with_logits(bags, labels.to(bags.dtype), reduction="none")  # (B, H + W)
    return reduced(each, B, reduction)


def reduced(values: Tensor, pictures: int, reduction: Reduction) -> Tensor:
    """Values of several pictures as one number: their mean, or the mean over pictures of the picture's sum."""
    return values.mean() if reduction == "mean" else values.sum() / pictures


def neighbour_loss(logits: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Squared differences of neighbouring probabilities (BoxCaseg eq. 2), averaged over pictures.

        phi = sum over p of sum over p' in Omega(p) of (S(p) - S(p'))^2,  Omega: the eight neighbours

    Args:
        logits: (B, H, W). A neighbour outside the map counts as probability 0, as zero padding in the released code.
        reduction: over the 8 H W pairs: "mean" as the released code, "sum" as the paper prints it.
    """
    B, H, W = logits.shape
    chance = F.pad(logits.sigmoid(), (1, 1, 1, 1))  # (B, H + 2, W + 2)
    total = sum(_squared_steps(chance, *step) for step in DIRECTIONS)
    # A pair of two pixels stands in the sum twice, once from either side; one with the padding only once.
    total = 2 * total - _border_steps(logits)
    return total / B if reduction == "sum" else total / (8 * B * H * W)


def _squared_steps(chance: Tensor, down: int, right: int) -> Tensor:
    """Sum of (S(p) - S(p + step))^2 over all pairs of the padded map (B, H, W)."""
    _, H, W = chance.shape
    start = chance[:, : H - down, max(-right, 0) : W - max(right, 0)]
    stop = chance[:, down:, max(right, 0) : W - max(-right, 0)]
    return (start - stop).square().sum()


def _border_steps(logits: Tensor) -> Tensor:
    """Sum of S(p)^2 over the pairs of a pixel with the padding: 3 a side, and 1 less in a corner (8 - 3 neighbours)."""
    squared = logits.sigmoid().square()
    sides = squared[:, 0].sum() + squared[:, -1].sum() + squared[..., 0].sum() + squared[..., -1].sum()
    corners = torch.stack([squared[:, y, x] for y in (0, -1) for x in (0, -1)], 1).sum()
    return 3 * sides - corners
