"""RoIAlign as two small matrix products: torchvision's CPU kernel, its backward above all, runs on one core."""

import math

import torch
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign, roi_align


class PyramidRoiAlign(MultiScaleRoIAlign):
    """Torchvision's RoIAlign from the pyramid level that fits each box, on the CPU by `separable_roi_align`.

    A box is read from the level k = floor(4 + log2(sqrt(w h) / canonical)), whose stride is 2^k, or from the nearest
    one there is (Lin et al. 2017, equation 1).
    """

    def __init__(self, strides: tuple[int, ...], size: int, samples: int, canonical: int):
        super().__init__([str(level) for level in range(len(strides))], size, samples, canonical_scale=canonical)
        self.strides = strides

    def forward(self, levels: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]) -> Tensor:
        """levels "0", "1", ...: (B, D, H/stride, W/stride); boxes: per picture (R_b, 4) px -> (sum R_b, D, P, P)."""
        picture = torch.repeat_interleave(torch.tensor([len(b) for b in boxes], device=boxes[0].device))
        every = torch.cat([picture[:, None].to(boxes[0]), torch.cat(boxes)], 1)  # (R, 5)
        chosen = self.level_of(every[:, 1:])
        kernel = roi_align if every.is_cuda else separable_roi_align
        parts = [
            kernel(
                levels[str(level)].float(), every[chosen == level], self.output_size, 1 / stride, self.sampling_ratio
            )
            for level, stride in enumerate(self.strides)
        ]
        order = torch.cat([(chosen == level).nonzero()[:, 0] for level in range(len(self.strides))])
        return torch.cat(parts)[order.argsort()]

    def level_of(self, boxes: Tensor) -> Tensor:
        """boxes (R, 4) -> position in `strides` (R,)."""
        sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-3).prod(1).sqrt()
        wanted = (self.canonical_level + torch.log2(sides / self.canonical_scale) + 1e-6).floor() - math.log2(
            self.strides[0]
        )
        return wanted.clamp(0, len(self.strides) - 1).long()


def separable_roi_align(maps: Tensor, rois: Tensor, size: tuple[int, int], scale: float, samples: int) -> Tensor:
    """torchvision.ops.roi_align (not aligned) of maps (B, D, H, W) for rois (R, 5) sorted by picture: (R, D, P, Q).

    The sampling points of a RoI form a grid and bilinear weights are products, so a bin is a sum over rows, then
    columns: out[p, q] = sum_y A[p, y] sum_x B[q, x] map[y, x].
    """
    B, D, H, W = maps.shape
    P, Q = size
    with torch.autocast(maps.device.type, enabled=False):
        down = bin_weights(rois[:, 2] * scale, rois[:, 4] * scale, P, H, samples)
        across = bin_weights(rois[:, 1] * scale, rois[:, 3] * scale, Q, W, samples).mT  # (R, W, Q)
        counts = rois[:, 0].long().bincount(minlength=B).tolist()
        pooled = []
        for rows, part, field in zip(down.split(counts), across.split(counts), maps.transpose(1, 2), strict=True):
            R = len(rows)
            if R:
                read = rows.reshape(R * P, H) @ field.reshape(H, D * W)
                pooled.append(read.reshape(R, P * D, W) @ part)  # (R, P*D, Q)
        if not pooled:
            return maps.new_zeros(0, D, P, Q)
        return torch.cat(pooled).reshape(-1, P, D, Q).transpose(1, 2)  # (R, D, P, Q)


def bin_weights(start: Tensor, stop: Tensor, bins: int, length: int, samples: int) -> Tensor:
    """Share of every cell in every bin along one axis, (R, bins, length), for intervals start..stop (R,) in cells.

    A bin is the mean of `samples` points; a point x weighs cell c by max(0, 1 - |x - c|), x held inside the map; a
    point more than one cell outside counts nothing.
    """
    width = (stop - start).clamp(min=1) / bins
    steps = (torch.arange(bins * samples, device=start.device) + 0.5) / samples
    points = start[:, None] + steps * width[:, None]  # (R, bins * samples)
    inside = (points >= -1) & (points <= length)
    cells = torch.arange(length, device=start.device)
    weights = (1 - (points.clamp(0, length - 1)[..., None] - cells).abs()).clamp(min=0) * inside[..., None]
    return weights.reshape(len(start), bins, samples, length).mean(2)
