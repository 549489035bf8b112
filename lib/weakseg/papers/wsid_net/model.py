"""Boundary and centroid branch on one backbone, with attention that both may share (WSID-Net figure 1)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weakseg.nets import backbones
from weakseg.nets.attention import LevelAttention
from weakseg.nets.boundary_enhancement import BoundaryEnhancement
from weakseg.nets.resize import bilinear
from weakseg.papers.wsid_net.params import AttentionParams, WsidParams


class Fuse(nn.Module):
    """Convolution of the concatenated maps, group norm, ReLU.

    A 1x1 convolution and bilinear resizing can change places, and a convolution of a concatenation is a sum of one for
    each part: every map is convolved and added on the coarser of its own grid and the wanted one, the same numbers for
    less work.
    """

    def __init__(self, channels: list[int], outputs: int):
        super().__init__()
        self.parts = nn.ModuleList(nn.Conv2d(inputs, outputs, 1, bias=False) for inputs in channels)
        self.norm = nn.GroupNorm(outputs // 8, outputs)

    def forward(self, maps: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Maps (B, C_k, h_k, w_k) -> (B, outputs, *size)."""
        parts = [self._part(part, x, size) for part, x in zip(self.parts, maps, strict=True)]
        return F.relu(self.norm(sum(parts)))

    def _part(self, part: nn.Module, x: Tensor, size: tuple[int, int]) -> Tensor:
        if x.shape[-2:] == size:
            return part(x)
        if x.shape[-1] > size[1]:
            return part(bilinear(x, size))
        return bilinear(part(x), size)


class BoundaryBranch(nn.Module):
    """B = sigmoid(Conv(Concat(f1', ..., f5', f_b))) (section 3.2); f_b is one more map where there is one."""

    def __init__(self, channels: list[int], width: int):
        super().__init__()
        self.fuse = Fuse(channels, width)
        self.predict = nn.Conv2d(width, 1, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """f1', ..., f5' (and f_b) -> logits (B, h, w) on the grid of f2'."""
        return self.predict(self.fuse(maps, maps[1].shape[-2:]))[:, 0]


class CentroidBranch(nn.Module):
    """f_h = Conv(Concat(f3', f4', f5')), V = Conv(Conv(Concat(f_h, f1', f2'))) (section 3.1).

    The paper puts a sigmoid on V, but offsets need both signs: there is none here, as in IRN.
    """

    def __init__(self, channels: list[int], width: int):
        super().__init__()
        self.deep = Fuse(channels[2:], width)
        self.all = Fuse([*channels[:2], width], width)
        self.refine = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.GroupNorm(width // 8, width), nn.ReLU()
        )
        self.predict = nn.Conv2d(width, 2, 1, bias=False)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """f1', ..., f5' -> displacements (B, 2, h, w) in cells of the grid of f2'."""
        deep = self.deep(maps[2:], maps[2].shape[-2:])
        return self.predict(self.refine(self.all([*maps[:2], deep], maps[1].shape[-2:])))


class WsidNet(nn.Module):
    """Backbone, attention, the two branches; the saliency branch is a network of its own (`saliency.train_saliency`).

    After training, `mean_shift` (2,) is taken off every displacement.
    """

    def __init__(self, backbone: backbones.Backbone, wsid: WsidParams):
        super().__init__()
        channels, enhancement = list(backbone.channels), wsid.enhancement
        self.backbone, self.trained_backbone = backbone, wsid.train_backbone
        self.attend_boundary = _attention(channels, wsid.attention)
        shared = wsid.attention is None or wsid.attention.shared
        self.attend_centroid = self.attend_boundary if shared else _attention(channels, wsid.attention)
        self.enhance = BoundaryEnhancement(enhancement) if enhancement else None
        self.boundary = BoundaryBranch([*channels, *([enhancement.width] if enhancement else [])], wsid.width)
        self.centroid = CentroidBranch(channels, wsid.width)
        self.register_buffer("mean_shift", torch.zeros(2))
        backbone.requires_grad_(self.trained_backbone)

    def train(self, mode: bool = True) -> "WsidNet":
        """As nn.Module.train; a backbone that does not learn stays in inference mode."""
        super().train(mode)
        if not self.trained_backbone:
            self.backbone.eval()
        return self

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """pictures (B, 3, H, W) in [0, 1] -> boundary logits (B, h, w) and displacements (B, 2, h, w), stride 4."""
        B, C, H, W = pictures.shape
        with torch.set_grad_enabled(self.trained_backbone and torch.is_grad_enabled()):
            maps = self.backbone(pictures)
        edges = [] if self.enhance is None else [self.enhance(pictures)]
        displacement = self.centroid(self.attend_centroid(maps)) - self.mean_shift.view(1, 2, 1, 1)
        return self.boundary([*self.attend_boundary(maps), *edges]), displacement


def _attention(channels: list[int], attention: AttentionParams | None) -> nn.Module:
    if attention is None:
        return nn.Identity()
    return LevelAttention(tuple(channels), attention.arrangement, attention.reduction)


def build_wsid(wsid: WsidParams, weights: str | None = None) -> WsidNet:
    """The network of `wsid`; `weights` (a file or "torchvision") for its backbone, random ones without.

    Raises ValueError for a backbone whose second map is not at stride 4, on which the fields lie.
    """
    norm = backbones.norm_kept(wsid.backbone, wsid.weights, None)
    backbone = backbones.build(wsid.backbone, weights=weights, output_stride=wsid.output_stride, frozen_norm=norm)
    if backbone.strides[1] != 4:
        raise ValueError(f"wsid.backbone: {wsid.backbone} has no second map at stride 4; name a residual backbone")
    return WsidNet(backbone, wsid)
