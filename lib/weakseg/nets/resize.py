"""Bilinear resizing for networks that learn.

Where operations must repeat themselves (`study.train` asks for that), torch resizes on a GPU by plain indexing: its
kernel adds up gradients in the order in which threads arrive. Forwards that kernel repeats itself; backwards resizing
is two matrix products, which repeat themselves too and cost next to nothing.
"""

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.study.machine import own_kernels


def bilinear(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (B, C, h, w) -> (B, C, *size), as F.interpolate does with align_corners=False."""
    return _OnGpu.apply(maps, size) if maps.is_cuda else _resized(maps, size)


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


class _OnGpu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, size: tuple[int, int]) -> Tensor:
        ctx.before = tuple(maps.shape[-2:])
        with own_kernels():  # in the layout of convolutions, whose kernel is many times as fast
            return _resized(maps.contiguous(memory_format=torch.channels_last), size)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return shrunk(gradient, ctx.before), None


def shrunk(gradient: Tensor, before: tuple[int, int]) -> Tensor:
    """Gradient (B, C, H, W) of resized maps -> of the maps (B, C, h, w): R_y^T G R_x for resizing by R_y M R_x^T."""
    B, C, H, W = gradient.shape
    h, w = before
    rows, columns = (shares(*pair, gradient.device, gradient.dtype) for pair in ((h, H), (w, W)))
    lines = gradient.permute(0, 2, 3, 1).reshape(B, H, W * C)
    lines = torch.bmm(rows.expand(B, h, H), lines).view(B * h, W, C)
    return torch.bmm(columns.expand(B * h, w, W), lines).view(B, h, w, C).permute(0, 3, 1, 2)  # (B, C, h, w)


@functools.lru_cache(64)
def shares(before: int, after: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(before, after): the share of each old cell in each new one along an axis, as resizing a unit vector shows it."""
    units = torch.eye(before)[:, None]  # (before, 1, before)
    return F.interpolate(units, after, mode="linear", align_corners=False)[:, 0].to(device, dtype)
