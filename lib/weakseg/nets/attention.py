"""Channel and spatial attention, in parallel as in WSID-Net (section 3.3, figure 5), and in other arrangements."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Arrangement = Literal["parallel", "serial", "channel", "spatial"]


class ChannelAttention(nn.Module):
    """Fc = sigmoid(MLP(average of f) + MLP(maximum of f)), one MLP with a hidden layer for both vectors.

    reduction: channels over hidden units; at least one unit is left. (C + 1) h + (h + 1) C parameters for h units.
    """

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        hidden = max(1, channels // reduction)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 1, 1) in (0, 1)."""
        B, C, H, W = x.shape
        highest = F.adaptive_max_pool2d(x, 1).flatten(1)  # as amax, but ten times faster to differentiate
        return torch.sigmoid(self.mlp(x.mean((2, 3))) + self.mlp(highest)).view(B, C, 1, 1)


class SpatialAttention(nn.Module):
    """Fs = sigmoid(7 x 7 convolution of [mean of f; maximum of f], both over the channels); 99 parameters."""

    def __init__(self, kernel: int = 7):
        super().__init__()
        self.convolution = nn.Conv2d(2, 1, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 1, H, W) in (0, 1)."""
        return torch.sigmoid(self.convolution(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)))


class DoubleAttention(nn.Module):
    """f' = f * Fc + f * Fs, products element by element (WSID-Net section 3.3).

    arrangement: "parallel" is the paper's; "serial" is y = f * Fc, f' = y * Fs(y); "channel" and "spatial" have one of
    the two alone. The reduction of the MLP is not given in the paper; 16 is the usual value.
    """

    def __init__(self, channels: int, arrangement: Arrangement = "parallel", reduction: int = 16):
        super().__init__()
        self.arrangement = arrangement
        self.channel = ChannelAttention(channels, reduction) if arrangement != "spatial" else None
        self.spatial = SpatialAttention() if arrangement != "channel" else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W), any H and W."""
        if self.arrangement == "parallel":
            return x * (self.channel(x) + self.spatial(x))  # f * Fc + f * Fs with one product
        x = x if self.channel is None else x * self.channel(x)
        return x if self.spatial is None else x * self.spatial(x)


class LevelAttention(nn.Module):
    """Double attention on every level of a backbone; each level has its own, since the widths differ."""

    def __init__(self, channels: tuple[int, ...], arrangement: Arrangement = "parallel", reduction: int = 16):
        super().__init__()
        self.levels = nn.ModuleList(DoubleAttention(width, arrangement, reduction) for width in channels)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Feature maps f1..f5 -> f1'..f5', each of its own shape."""
        return [attend(x) for attend, x in zip(self.levels, maps, strict=True)]
