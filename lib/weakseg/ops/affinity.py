"""Pairs of neighbouring grid cells and the strongest boundary on the way between them (IRN section 4).

A pair is a source cell and an offset (dy, dx) in the half plane below and to the right of it. A grid (H, W) has the
source cells without the r-1 left, right and bottom border rows and columns, so that every pair stays inside.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

IGNORED = 255
EPSILON = 1e-5


@lru_cache
def offsets(radius: int) -> tuple[tuple[int, int], ...]:
    """All (dy, dx) with dy^2 + dx^2 < radius^2 in the half plane {dy = 0, dx > 0} or {dy > 0}; 34 for 5, 152 for 10.

    Raises ValueError for a radius below 2, which has no pair.
    """
    if radius < 2:
        raise ValueError(f"radius: {radius} leaves no pair of cells; the smallest is 2")
    reach = range(1 - radius, radius)
    half = [(dy, dx) for dy in range(radius) for dx in reach if dy > 0 or dx > 0]
    return tuple(offset for offset in half if offset[0] ** 2 + offset[1] ** 2 < radius**2)


@lru_cache
def path(dy: int, dx: int) -> tuple[tuple[int, int], ...]:
    """Cells from (0, 0) to (dy, dx), ends included: those of the bounding rectangle less than 1 away from the line."""
    ys, xs = np.mgrid[0 : dy + 1, min(0, dx) : max(0, dx) + 1].reshape(2, -1)
    distance = np.abs(dy * xs - dx * ys) / np.hypot(dy, dx)
    return tuple((int(y), int(x)) for y, x in zip(ys[distance < 1], xs[distance < 1], strict=True))


def sources(values: torch.Tensor, radius: int, dy: int = 0, dx: int = 0) -> torch.Tensor:
    """The grid at source + (dy, dx) for every source: (..., H, W) -> view (..., H-r+1, W-2r+2)."""
    H, W = values.shape[-2:]
    h, w = H - radius + 1, W - 2 * radius + 2
    if h < 1 or w < 1:
        raise ValueError(f"radius: {radius} is too wide for a grid of {H} x {W}")
    return values[..., dy : dy + h, radius - 1 + dx : radius - 1 + dx + w]


def destinations(values: torch.Tensor, radius: int) -> torch.Tensor:
    """The grid at the other end of every pair: (..., H, W) -> (..., P, h, w), P = len(offsets(radius))."""
    return torch.stack([sources(values, radius, dy, dx) for dy, dx in offsets(radius)], -3)


class _PathMaxima(torch.autograd.Function):
    """Running maximum over the shifted grid. Autograd would keep two grids for each of ~1500 shifts; here the way back
    finds the strongest cells again."""

    @staticmethod
    def forward(ctx, boundary: torch.Tensor, radius: int) -> torch.Tensor:
        maxima = [_maximum([sources(boundary, radius, *cell) for cell in path(*offset)]) for offset in offsets(radius)]
        result = torch.stack(maxima, 1)  # (B, P, h, w)
        ctx.save_for_backward(boundary, result)
        ctx.radius = radius
        return result

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        boundary, maxima = ctx.saved_tensors
        inflow = torch.zeros_like(boundary)
        for number, offset in enumerate(offsets(ctx.radius)):
            left = gradient[:, number]
            for cell in path(*offset):
                strongest = sources(boundary, ctx.radius, *cell) == maxima[:, number]
                sources(inflow, ctx.radius, *cell).add_(left * strongest)
                left = left.masked_fill(strongest, 0)  # of equal cells the first takes all
        return inflow, None


def _maximum(views: list[torch.Tensor]) -> torch.Tensor:
    result = views[0]
    for view in views[1:]:
        result = torch.maximum(result, view)
    return result


def path_maxima(boundary: torch.Tensor, radius: int) -> torch.Tensor:
    """max over the path of every pair, (B, H, W) -> (B, P, h, w); the gradient goes to the (first) strongest cell."""
    return _PathMaxima.apply(boundary, radius)


def affinities(boundary: torch.Tensor, radius: int) -> torch.Tensor:
    """a_ij = 1 - max_{k in path} B(x_k) (IRN equation 6), (B, H, W) in [0, 1] -> (B, P, h, w)."""
    return 1 - path_maxima(boundary, radius)


@dataclass(frozen=True)
class Relations:
    """Three disjoint sets of pairs, bool (B, P, h, w): same object class, both background, different labels."""

    foreground: torch.Tensor
    background: torch.Tensor
    negative: torch.Tensor


def relations(labels: torch.Tensor, radius: int) -> Relations:
    """Relations of all pairs within `radius`; pairs with an ignored end are in no set (IRN equation 5).

    labels: (B, H, W), 0 background, c + 1 class c, 255 ignored.
    """
    here = sources(labels, radius)[:, None]
    there = destinations(labels, radius)  # (B, P, h, w)
    valid = (here != IGNORED) & (there != IGNORED)
    same = valid & (here == there)
    return Relations(same & (here != 0), same & (here == 0), valid & (here != there))


def mean_over(values: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Mean of the values where `chosen`, over the whole batch; 0 when nothing is chosen."""
    return (values * chosen).sum() / (chosen.sum() + EPSILON)
