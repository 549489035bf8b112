"""The Boundary Enhancement module of WSID-Net: learned line features beside Canny edges (section 3.2, figure 3)."""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from weakseg.nets.backbones import Residual
from weakseg.study.params import Group

STRIDE = 4  # f_b joins the features of the stride-4 grid


class EnhancementParams(Group):
    """Widths and thresholds, none of which the paper gives.

    lines: channels of either directed convolution. width: of the residual blocks and of f_b. low, high: thresholds of
    Canny's operator on the 8-bit picture.
    """

    lines: int = Field(8, ge=1)
    width: int = Field(32, ge=8, multiple_of=8)
    low: float = Field(100.0, ge=0)
    high: float = Field(200.0, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> "EnhancementParams":
        if self.low > self.high:
            raise ValueError(f"low: {self.low} is above high {self.high}; Canny wants the smaller threshold first")
        return self


@torch.no_grad()
def canny_edges(pictures: Tensor, low: float, high: float) -> Tensor:
    """Canny edges, 0 or 1, (B, 1, H, W) of pictures (B, 3, H, W) in [0, 1], on their device; nothing is learned."""
    bytes_ = (pictures.detach().float().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    edges = np.stack([cv2.Canny(cv2.cvtColor(one, cv2.COLOR_RGB2GRAY), low, high) for one in bytes_])
    return torch.from_numpy(edges > 0)[:, None].to(pictures)


class BoundaryEnhancement(nn.Module):
    """1x7 and 7x1 convolutions side by side, three residual blocks, Canny edges beside the result, a 1x1 convolution.

    The first two blocks halve the grid; a cell of the stride-4 grid holds an edge when one of its pixels does.
    """

    def __init__(self, enhancement: EnhancementParams):
        super().__init__()
        lines, width = enhancement.lines, enhancement.width
        self.thresholds = enhancement.low, enhancement.high
        self.horizontal = nn.Conv2d(3, lines, (1, 7), padding=(0, 3))
        self.vertical = nn.Conv2d(3, lines, (7, 1), padding=(3, 0))
        blocks = Residual(2 * lines, width, 2), Residual(width, width, 2), Residual(width, width)
        self.blocks = nn.Sequential(*blocks)
        self.merge = nn.Conv2d(width + 1, width, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """pictures (B, 3, H, W) in [0, 1] -> f_b (B, width, ceil(H / 4), ceil(W / 4))."""
        lines = torch.relu(torch.cat([self.horizontal(pictures), self.vertical(pictures)], 1))
        edges = F.max_pool2d(canny_edges(pictures, *self.thresholds), STRIDE, ceil_mode=True)
        return self.merge(torch.cat([self.blocks(lines), edges.to(lines)], 1))
