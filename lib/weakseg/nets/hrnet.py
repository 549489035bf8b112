"""HRNetV2 (Wang et al., TPAMI 2020): parallel branches of four resolutions, laid upon each other at stride 4.

`hrnet_w48` is timm's, with ImageNet weights where they are given; `small` and `tiny` are nets of the same make, from
the same timm classes, trained from scratch on drawn pictures. `mobilenet_v2` is no HRNet: its maps of four resolutions
stand in for branches where photographs and ImageNet weights are at hand but no GPU.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import timm
import torch
from timm.models.hrnet import HighResolutionNetFeatures
from torch import Tensor, nn

from weakseg.nets.backbones import Backbone, FrozenNorm, build, read_weights
from weakseg.nets.resize import bilinear

Name = Literal["tiny", "small", "mobilenet_v2", "hrnet_w48"]
STRIDE = 4
# Width of the finest branch and blocks of a branch; multiples of 8 for the reason given in nets.backbones.WIDTHS.
SMALL: dict[str, tuple[int, int]] = {"tiny": (8, 1), "small": (16, 1)}
LONG_MEMORY = 0.01  # momentum of batch norm in the released code; the short trainings of small nets keep torch's 0.1


class HighResolutionNet(nn.Module):
    """Branches resized to the finest and concatenated. `channels`: of the result (720 for hrnet_w48)."""

    def __init__(self, branches: nn.Module, channels: Sequence[int]):
        super().__init__()
        self.branches = branches
        self.channels = sum(channels)

    def forward(self, pictures: Tensor) -> Tensor:
        """Normalised pictures (B, 3, H, W) -> (B, channels, H / 4, W / 4)."""
        maps = self.branches(pictures.contiguous(memory_format=torch.channels_last))  # the faster layout
        B, _, h, w = maps[0].shape
        coarse = [bilinear(each, (h, w)) for each in maps[1:]]
        return torch.cat([maps[0], *coarse], 1)  # (B, channels, h, w)


class MobileBranches(nn.Module):
    """The maps of MobileNetV2 at strides 4, 8, 16 and 32, without its last 1x1 convolution."""

    channels = (24, 32, 96, 320)

    def __init__(self, backbone: Backbone):
        super().__init__()
        backbone.stages[-1] = backbone.stages[-1][:-1]
        self.backbone = backbone

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Normalised pictures (B, 3, H, W) -> four maps (B, channels[k], H / 4 / 2^k, W / 4 / 2^k)."""
        maps = [self.backbone.stages[0](pictures)]
        for stage in self.backbone.stages[1:]:
            maps.append(stage(maps[-1]))
        return maps[1:]


def build_hrnet(name: Name, weights: Path | None = None, norm: FrozenNorm | None = None) -> HighResolutionNet:
    """A net by name. weights: a safetensors or torch file of the net as timm names its layers; None: random.
    norm: of mobilenet_v2, as `frozen_norm` of `backbones.build`.

    Raises ValueError for an unknown name, weights for a net from scratch, and a file of another net.
    """
    if name == "mobilenet_v2":
        backbone = build(name, weights=None if weights is None else str(weights), output_stride=32, frozen_norm=norm)
        return HighResolutionNet(MobileBranches(backbone), MobileBranches.channels)
    if name == "hrnet_w48":
        branches = timm.create_model(name, features_only=True, feature_location="", out_indices=(1, 2, 3, 4))
        for norm in (module for module in branches.modules() if isinstance(module, nn.BatchNorm2d)):
            norm.momentum = LONG_MEMORY
    elif name in SMALL:
        branches = HighResolutionNetFeatures(_small(*SMALL[name]), feature_location="", out_indices=(1, 2, 3, 4))
    else:
        raise ValueError(f"backbone: {name!r} is unknown; one of {', '.join(get_args(Name))}")
    if weights is not None:
        if name in SMALL:
            raise ValueError(f"weights: the net {name} is trained from scratch; set weights to null")
        _load(branches, weights)
    return HighResolutionNet(branches, branches.feature_info.channels())


def _load(branches: nn.Module, file: Path) -> None:
    """All layers of the branches from a file that may hold the head of the classifier too."""
    wanted, found = branches.state_dict(), read_weights(file)
    absent = [name for name, value in wanted.items() if found.get(name, torch.empty(0)).shape != value.shape]
    if absent:
        raise ValueError(f"{file}: has no layer {absent[0]} of this shape; give timm's weights of hrnet_w48")
    branches.load_state_dict({name: found[name] for name in wanted})


def _small(width: int, blocks: int) -> dict[str, Any]:
    """The plan of a small net in timm's terms: one module a stage, branches of width, 2, 4 and 8 times width."""

    def stage(count: int, block: str = "BASIC") -> dict[str, Any]:
        return {
            "num_modules": 1,
            "num_branches": count,
            "block_type": block,
            "num_blocks": (blocks,) * count,
            "num_channels": tuple(width * 2**k for k in range(count)),
            "fuse_method": "SUM",
        }

    return {"stem_width": 2 * width, **{f"stage{k}": stage(k) for k in range(1, 5)}}
