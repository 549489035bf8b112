"""RoIAlign (He et al. 2017, section 3): torchvision's numbers, on the CPU in a third of its time, gradients included.

A bin is the mean of samples x samples points and a point the mean of its four cells, weighted by nearness. So a bin is
a weighted sum of a few rows of a table of cells, which torch calls an embedding bag. torchvision's own CPU kernel finds
cells and weights anew for every channel, backwards as well.

A GPU has torchvision's kernel. Where torch is asked for operations that repeat themselves (`study.train` asks there),
torchvision would pool by plain indexing instead, which takes tens of gigabytes for a batch of pictures with their
proposals. The kernel repeats itself forwards; backwards it adds in the order in which threads arrive, so a GPU repeats
detectors up to rounding only.
"""

import torch
import torch.nn.functional as F
import torchvision.ops
from torch import Tensor
from torchvision.ops.poolers import LevelMapper

from weakseg.study.machine import own_kernels


def roi_align(maps: Tensor, rois: Tensor, size: int, scale: float, samples: int, aligned: bool = False) -> Tensor:
    """Features of maps (B, D, H, W) in size x size bins of every RoI: (R, D, size, size), of the maps' type.

    rois (R, 5): number of the picture, then x0, y0, x1, y1 in pixels; `scale` is cells a pixel. samples: points per bin
    and axis. aligned: cell centres are at whole numbers plus a half; else a RoI is at least one cell wide. What is more
    than a cell outside counts as 0.
    """
    if maps.is_cuda:
        with own_kernels():
            return torchvision.ops.roi_align(maps, rois, size, scale, samples, aligned)
    B, D, H, W = maps.shape
    corners = rois[:, 1:] * scale - (0.5 if aligned else 0.0)
    x, x_weights = _cells(corners[:, 0], corners[:, 2], size, W, samples, aligned)
    y, y_weights = _cells(corners[:, 1], corners[:, 3], size, H, samples, aligned)
    first = rois[:, 0].long()[:, None, None, None, None] * (H * W)
    rows = first + y[:, :, None, :, None] * W + x[:, None, :, None, :]  # (R, size, size, 2 samples, 2 samples)
    weights = y_weights[:, :, None, :, None] * x_weights[:, None, :, None, :]
    table = (maps if maps.dtype == torch.float64 else maps.float()).permute(0, 2, 3, 1).reshape(B * H * W, D)
    bags, shares = rows.reshape(-1, (2 * samples) ** 2), weights.reshape(-1, (2 * samples) ** 2).to(table)
    pooled = F.embedding_bag(bags, table, per_sample_weights=shares, mode="sum")
    return pooled.reshape(-1, size, size, D).permute(0, 3, 1, 2).to(maps.dtype)  # (R, D, size, size)


def numbered(boxes: list[Tensor]) -> Tensor:
    """Boxes (R_b, 4) of every picture as RoIs (sum of R_b, 5): the picture's number, then the box."""
    return torch.cat([F.pad(each, (1, 0), value=k) for k, each in enumerate(boxes)])  # (R, 5)


def _cells(start: Tensor, stop: Tensor, bins: int, length: int, samples: int, aligned: bool) -> tuple[Tensor, Tensor]:
    """Along one axis, cells (R, bins, 2 samples) that a bin reads and their shares in it; start and stop in cells."""
    width = (stop - start if aligned else (stop - start).clamp(min=1)) / bins
    steps = (torch.arange(bins * samples, dtype=start.dtype, device=start.device) + 0.5) / samples
    points = start[:, None] + steps * width[:, None]  # (R, bins * samples)
    inside = (points >= -1) & (points <= length)
    points = points.clamp(0, length - 1)
    low = points.floor()
    high = (low + 1).clamp(max=length - 1)
    shares = torch.stack([1 - (points - low), points - low], -1) * inside[..., None] / samples
    cells = torch.stack([low, high], -1).long()
    return cells.reshape(-1, bins, 2 * samples), shares.reshape(-1, bins, 2 * samples)


class MultiScaleRoIAlign(torchvision.ops.MultiScaleRoIAlign):
    """torchvision.ops.MultiScaleRoIAlign for pyramid levels "0", "1", ... of these strides (powers of 2, in order)."""

    def __init__(self, strides: tuple[int, ...], size: int, samples: int, canonical_scale: int):
        super().__init__([str(level) for level in range(len(strides))], size, samples, canonical_scale=canonical_scale)
        self.strides, self.size = strides, size
        finest, coarsest = (stride.bit_length() - 1 for stride in (strides[0], strides[-1]))
        self.level_of = LevelMapper(finest, coarsest, canonical_scale, 4)

    def forward(self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]) -> Tensor:
        """x: levels (B, D, H/stride, W/stride); boxes: per picture (R_b, 4), px -> (sum of R_b, D, size, size)."""
        rois, level, pooled, order = numbered(boxes), self.level_of(boxes), [], []
        for k, stride in enumerate(self.strides):
            chosen = (level == k).nonzero()[:, 0]
            pooled.append(roi_align(x[str(k)], rois[chosen], self.size, 1 / stride, self.sampling_ratio))
            order.append(chosen)
        return torch.cat(pooled)[torch.cat(order).argsort()]
