"""IRNet: one backbone, a branch for class boundaries and a branch for displacements (IRN section 4.1, figure 2)."""

import torch
import torch.nn.functional as F
from torch import nn

from weakseg.nets import backbones
from weakseg.nets.resize import bilinear
from weakseg.papers.irn.params import IrnetParams


def norm_groups(channels: int) -> int:
    """Groups of the group norm: 16, 8, 4, ... so that each holds 8 channels or more (32: 4, 64: 8, 128 and 256: 16)."""
    return next(n for n in (16, 8, 4, 2, 1) if n == 1 or (channels % n == 0 and channels >= 8 * n))


class Branch(nn.Module):
    """Convolution without bias, group norm, upsampling by `scale`, ReLU."""

    def __init__(self, inputs: int, outputs: int, scale: float, kernel: int = 1):
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.GroupNorm(norm_groups(outputs), outputs)
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, inputs, H, W) -> (B, outputs, H * scale, W * scale)."""
        x = self.norm(self.convolution(x))
        if self.scale != 1:
            x = bilinear(x, (int(x.shape[2] * self.scale), int(x.shape[3] * self.scale)))
        return F.relu(x)


class BoundaryBranch(nn.Module):
    """Every map to `width` channels on the stride-4 grid, then one logit."""

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...], width: int):
        super().__init__()
        pairs = zip(channels, strides, strict=True)
        self.reduce = nn.ModuleList(Branch(inputs, width, stride / strides[1]) for inputs, stride in pairs)
        self.predict = nn.Conv2d(5 * width, 1, 1)

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """Maps s1..s5 -> logits (B, h, w) on the grid of s2."""
        H, W = maps[1].shape[-2:]
        reduced = [branch(x)[..., :H, :W] for branch, x in zip(self.reduce, maps, strict=True)]
        return self.predict(torch.cat(reduced, 1))[:, 0]


class DisplacementBranch(nn.Module):
    """s3, s4 and s5 are fused on the grid of s3; with s1 and s2 on the grid of s2; then dy and dx."""

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...], widths: tuple[int, int, int], kernel: int):
        super().__init__()
        fine, middle, wide = widths
        scales = [strides[0] / strides[1], 1, 1, strides[3] / strides[2], strides[4] / strides[2]]
        outputs = [fine, middle, wide, wide, wide]
        self.reduce = nn.ModuleList(Branch(*sizes) for sizes in zip(channels, outputs, scales, strict=True))
        self.fuse_deep = Branch(3 * wide, wide, strides[2] / strides[1], kernel)
        self.fuse_all = Branch(fine + middle + wide, wide, 1, kernel)
        self.predict = nn.Conv2d(wide, 2, 1, bias=False)

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """Maps s1..s5 -> displacements (B, 2, h, w) in cells of the grid of s2."""
        (H, W), (h, w) = maps[1].shape[-2:], maps[2].shape[-2:]
        reduced = [branch(x) for branch, x in zip(self.reduce, maps, strict=True)]
        deep = self.fuse_deep(torch.cat([x[..., :h, :w] for x in reduced[2:]], 1))
        return self.predict(self.fuse_all(torch.cat([x[..., :H, :W] for x in (*reduced[:2], deep)], 1)))


class IrNet(nn.Module):
    """Both branches on one backbone. After training, `mean_shift` (2,) is subtracted from every displacement."""

    def __init__(self, backbone: backbones.Backbone, params: IrnetParams):
        super().__init__()
        self.backbone, self.trained_backbone = backbone, params.train_backbone
        sizes = backbone.channels, backbone.strides
        self.boundary = BoundaryBranch(*sizes, params.boundary_channels)
        self.displacement = DisplacementBranch(*sizes, params.displacement_channels, params.kernel)
        self.register_buffer("mean_shift", torch.zeros(2))
        backbone.requires_grad_(self.trained_backbone)

    def train(self, mode: bool = True) -> "IrNet":
        """As nn.Module.train; a backbone that does not learn stays in inference mode."""
        super().train(mode)
        if not self.trained_backbone:
            self.backbone.eval()
        return self

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """pictures (B, 3, H, W) in [0, 1] -> boundary logits (B, h, w) and displacements (B, 2, h, w), stride 4.

        H and W must be multiples of 16, so that all maps fit on each other.
        """
        B, C, H, W = pictures.shape
        with torch.set_grad_enabled(self.trained_backbone and torch.is_grad_enabled()):
            maps = self.backbone(pictures)
        return self.boundary(maps), self.displacement(maps) - self.mean_shift.view(1, 2, 1, 1)


def build_irnet(params: IrnetParams, weights: str | None = None) -> IrNet:
    """The network of `params`; `weights` (a file or "torchvision") for its backbone, random ones without.

    Raises ValueError for a backbone whose second map is not at stride 4, on which the fields lie.
    """
    norm = backbones.norm_kept(params.backbone, params.weights, None)
    backbone = backbones.build(params.backbone, weights=weights, output_stride=params.output_stride, frozen_norm=norm)
    if backbone.strides[1] != 4:
        raise ValueError(f"irnet.backbone: {params.backbone} has no second map at stride 4; name a residual backbone")
    return IrNet(backbone, params)
