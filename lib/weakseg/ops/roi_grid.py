"""RoI pooling over a dense grid: one window around every cell (Oh et al. 2017, section 4.1 and table 6, GAP-ROI)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def windows(height: int, width: int, size: int = 3) -> Tensor:
    """The windows of size x size cells (odd) around all cells, row by row: (height * width, 4) as x0, y0, x1, y1.

    Both corners are cells inside the window, as RoI pooling counts; windows reach over the border of the map.
    """
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    reach = size // 2
    return torch.stack([x - reach, y - reach, x + reach, y + reach], -1).reshape(-1, 4).float()  # (H * W, 4)


class RoiGrid(nn.Module):
    """RoI max pooling of every window to one cell: (B, D, H, W) -> (B, D, H, W).

    Windows of one size at every cell are a sliding maximum, which gives the numbers of torchvision's roi_pool over
    `windows` in a thousandth of the time.
    """

    def __init__(self, size: int = 3):
        super().__init__()
        if size % 2 == 0:
            raise ValueError(f"RoI grid: windows of {size} cells have no middle; use an odd size")
        self.size = size

    def forward(self, features: Tensor) -> Tensor:
        """features (B, D, H, W); cells outside the map do not count."""
        return F.max_pool2d(features, self.size, stride=1, padding=self.size // 2)

    def extra_repr(self) -> str:
        return f"{self.size}x{self.size} windows"
