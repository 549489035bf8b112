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
    """Paths of one length at once, as few and large operations: about 1500 cells lie on the paths of radius 10, and a
    GPU would spend its time on starting something for each of them. Kept for the way back: the strongest cell's number.
    Numbers that select lie on the device already: each list that goes there would wait for all work before it.
    """

    @staticmethod
    def forward(ctx, boundary: torch.Tensor, radius: int) -> torch.Tensor:
        shifted = torch.stack([sources(boundary, radius, *cell) for cell in _cells(radius)], 1)  # (B, K, h, w)
        groups, order = _groups(radius, boundary.device)
        highest, strongest = [], []
        for cells in groups:  # (n, L)
            value, place = shifted[:, cells].max(2)  # of equal cells the first
            highest.append(value)
            strongest.append(cells.short()[torch.arange(len(cells), device=cells.device)[:, None, None], place])
        ctx.save_for_backward(torch.cat(strongest, 1)[:, order])
        ctx.radius, ctx.grid = radius, boundary.shape
        return torch.cat(highest, 1)[:, order]  # (B, P, h, w)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        (strongest,) = ctx.saved_tensors
        inflow = gradient.new_zeros(ctx.grid)
        # Cell by cell and not by scattering, which on a GPU adds in another order every time.
        for number, pairs in _passing(ctx.radius, gradient.device).items():
            through = gradient[:, pairs] * (strongest[:, pairs] == number)
            sources(inflow, ctx.radius, *_cells(ctx.radius)[number]).add_(through.sum(1))
        return inflow, None


@lru_cache
def _cells(radius: int) -> list[tuple[int, int]]:
    """Every cell that a path within `radius` may pass, seen from its source."""
    return [(dy, dx) for dy in range(radius) for dx in range(1 - radius, radius)]


@lru_cache
def _alike(radius: int) -> list[tuple[list[int], list[list[int]]]]:
    """Pairs (n,) whose paths are equally long, with the numbers of their cells (n, L)."""
    number = {cell: place for place, cell in enumerate(_cells(radius))}
    groups: dict[int, tuple[list[int], list[list[int]]]] = {}
    for pair, offset in enumerate(offsets(radius)):
        cells = [number[cell] for cell in path(*offset)]
        pairs, paths = groups.setdefault(len(cells), ([], []))
        pairs.append(pair)
        paths.append(cells)
    return list(groups.values())


@lru_cache
def _groups(radius: int, device: torch.device) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Cells (n, L) of the paths of each length, and the place (P,) of every pair among those of all lengths."""
    alike = _alike(radius)
    pairs = torch.tensor([pair for group, _ in alike for pair in group])
    return [torch.tensor(paths, device=device) for _, paths in alike], pairs.argsort().to(device)


@lru_cache
def _passing(radius: int, device: torch.device) -> dict[int, torch.Tensor]:
    """Number of a cell -> the pairs whose path passes it."""
    found: dict[int, list[int]] = {}
    for pairs, paths in _alike(radius):
        for pair, cells in zip(pairs, paths, strict=True):
            for cell in cells:
                found.setdefault(cell, []).append(pair)
    return {cell: torch.tensor(pairs, device=device) for cell, pairs in found.items()}


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
