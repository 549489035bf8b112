"""Backbones: picture in, five feature maps s1..s5 out.

`tiny` and `small` are residual nets trained from scratch on drawn pictures; the others are torchvision's.
"""

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
import torchvision
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from weakseg.study.stages import Artifact, external

Name = Literal["tiny", "small", "resnet50", "resnet101", "mobilenet_v2", "vgg16"]
FrozenNorm = Literal["no", "statistics", "all"]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Multiples of 8: with 12 channels oneDNN (torch 2.12) writes out of bounds in a strided, channels-last convolution.
WIDTHS = {"tiny": (16, 16, 16, 24, 32), "small": (24, 24, 48, 96, 144)}
STRIDES = (2, 4, 8, 16, 32)


class Backbone(nn.Module):
    """Five stages in a row. `channels` and `strides` describe s1..s5.

    cut_after: no gradient flows into the first so many stages (IRN cuts after layer2, that is s3).
    frozen_norm: "no"; "statistics" keeps batch norm in inference mode; "all" freezes its weights too.
    """

    def __init__(
        self,
        stages: Sequence[nn.Module],
        channels: Sequence[int],
        strides: Sequence[int],
        frozen_norm: FrozenNorm = "no",
        cut_after: int = 0,
    ):
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.channels, self.strides = tuple(channels), tuple(strides)
        self.frozen_norm, self.cut_after = frozen_norm, cut_after
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.stages[:cut_after].requires_grad_(False)
        if frozen_norm == "all":
            for norm in self.norms():
                norm.requires_grad_(False)

    def norms(self) -> list[nn.BatchNorm2d]:
        """Every batch-norm layer."""
        return [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]

    def train(self, mode: bool = True) -> "Backbone":
        """As nn.Module.train, but frozen batch norm stays in inference mode, and so do the stages without gradient."""
        super().train(mode)
        for norm in self.norms() if self.frozen_norm != "no" else ():
            norm.eval()
        for stage in self.stages[: self.cut_after]:
            stage.eval()
        return self

    def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """pictures (B, 3, H, W), RGB in [0, 1] -> [s1, ..., s5], each (B, channels[k], H/strides[k], W/strides[k])."""
        x = ((pictures - self.mean) / self.std).contiguous(memory_format=torch.channels_last)  # the faster layout
        maps = []
        for depth, stage in enumerate(self.stages, 1):
            x = stage(x)
            x = x.detach() if depth == self.cut_after else x
            maps.append(x)
        return maps


class Residual(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016, basic block)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dilation: int = 1):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, dilation, dilation, bias=False),
            nn.BatchNorm2d(outputs),
        )
        same = stride == 1 and inputs == outputs
        shortcut = [nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)]
        self.shortcut = nn.Identity() if same else nn.Sequential(*shortcut)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, inputs, H, W) -> (B, outputs, H/stride, W/stride)."""
        return torch.relu(self.body(x) + self.shortcut(x))


def build(
    name: Name,
    *,
    weights: str | None = None,
    output_stride: int = 16,
    frozen_norm: FrozenNorm | bool | None = None,
    cut_after: int = 0,
    dilated: bool = False,
) -> Backbone:
    """A backbone by name.

    weights: None (random), "torchvision" (its cache or download), or a safetensors/pth file (see `find_weights`).
    output_stride: 8, 16 or 32; later strides become 1, without atrous compensation unless `dilated`. The strides are
    4 (vgg16: 2) at s2 and `output_stride` at s5.
    frozen_norm: None = "no" from scratch, "statistics" with weights ("all" for mobilenet_v2: they are `folded`).
    Raises ValueError for an unknown name or output stride.
    """
    scratch, resnets = dict.fromkeys(WIDTHS, _scratch), dict.fromkeys(("resnet50", "resnet101"), _resnet)
    makers = {**scratch, **resnets, "mobilenet_v2": _mobilenet, "vgg16": _vgg16}
    if name not in makers:
        raise ValueError(f"backbone: {name!r} is unknown; one of {', '.join(makers)}")
    if output_stride not in (8, 16, 32):
        raise ValueError(f"output_stride: {output_stride} is not one of 8, 16, 32")
    norm = norm_kept(name, weights, frozen_norm)
    stages, channels, strides = makers[name](name, weights, output_stride, dilated)
    if name == "mobilenet_v2" and norm == "all":
        stages = [folded(stage) for stage in stages]
    return Backbone(stages, channels, strides, norm, cut_after)


def folded(module: nn.Module) -> nn.Module:
    """The same function without its frozen batch norms: each becomes scale and fixed bias of the convolution before it.

    The norms cost MobileNetV2 a quarter of a training step on a CPU.
    """
    layers = list(module.named_children())
    for (name, first), (after, second) in itertools.pairwise(layers):
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
            both = fuse_conv_bn_eval(first.eval(), second.eval())
            both.bias.requires_grad_(False)
            setattr(module, name, both)
            setattr(module, after, nn.Identity())
    for _, layer in layers:
        folded(layer)
    return module


def norm_kept(name: str, weights: str | None, asked: FrozenNorm | bool | None) -> FrozenNorm:
    """Which part of batch norm stays as it is: what is asked for, else by backbone and weights (see `build`)."""
    if isinstance(asked, str):
        return asked
    with_weights = "all" if name == "mobilenet_v2" else "statistics"
    return with_weights if (bool(weights) if asked is None else asked) else "no"


def find_weights(weights: str, name: Name) -> Path | None:
    """The file that `weights` names: as given, or in the folder of the environment variable WEAKSEG_WEIGHTS.

    None means torchvision's own ImageNet weights: asked for by "torchvision", or a bare file name while WEAKSEG_WEIGHTS
    is not set. Raises FileNotFoundError with the mend.
    """
    folder = os.environ.get("WEAKSEG_WEIGHTS")
    if weights == "torchvision":
        return None
    candidates = [Path(weights)] + ([Path(folder) / weights] if folder else [])
    found = next((path for path in candidates if path.is_file()), None)
    if found is None and (folder or len(Path(weights).parts) > 1):
        place = folder or Path.cwd()
        raise FileNotFoundError(f"weights: {weights} ({name}) is not in {place}; correct it or WEAKSEG_WEIGHTS")
    return found


def weights_input(weights: str | None, name: Name) -> Artifact | None:
    """The weights file as a stage's input: another file of the same name is another run; None without a file."""
    path = find_weights(weights, name) if weights else None
    return external(path) if path else None


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """State dict of a .safetensors or torch file; half-precision tensors come back as float32."""
    safe = path.suffix == ".safetensors"
    state = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    return {key: value.float() if value.dtype == torch.float16 else value for key, value in state.items()}


def _torchvision(name: Name, weights: str | None) -> nn.Module:
    maker = getattr(torchvision.models, name)
    path = find_weights(weights, name) if weights else None
    if weights and path is None:
        return maker(weights="IMAGENET1K_V1")
    net = maker(weights=None)
    if path is not None:
        net.load_state_dict(read_weights(path), strict=True)
    return net


def _clipped(strides: Sequence[int], output_stride: int) -> tuple[int, ...]:
    return tuple(min(stride, output_stride) for stride in strides)


def _scratch(name: Name, weights: str | None, output_stride: int, dilated: bool):
    if weights:
        raise ValueError(f"weights: the backbone {name} is trained from scratch; set weights to null")
    widths, strides = WIDTHS[name], _clipped(STRIDES, output_stride)
    stem = nn.Sequential(nn.Conv2d(3, widths[0], 3, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True))
    blocks = [
        Residual(widths[k - 1], widths[k], strides[k] // strides[k - 1], STRIDES[k] // strides[k] if dilated else 1)
        for k in range(1, 5)
    ]
    return [stem, *blocks], widths, strides


def _resnet(name: Name, weights: str | None, output_stride: int, dilated: bool):
    net = _torchvision(name, weights)
    strides = _clipped((4, 4, 8, 16, 32), output_stride)
    for layer, kept, full in zip((net.layer3, net.layer4), strides[3:], (16, 32), strict=True):
        if kept < full:
            _drop_stride(layer, full // kept if dilated else 1)
    stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
    return [stem, net.layer1, net.layer2, net.layer3, net.layer4], (64, 256, 512, 1024, 2048), strides


def _drop_stride(layer: nn.Module, dilation: int) -> None:
    for module in layer.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
            if module.kernel_size == (3, 3):
                module.dilation = module.padding = (dilation, dilation)


def _mobilenet(name: Name, weights: str | None, output_stride: int, dilated: bool):
    features = _torchvision(name, weights).features
    stages = [features[start:stop] for start, stop in ((0, 2), (2, 4), (4, 7), (7, 14), (14, 19))]
    strides = _clipped(STRIDES, output_stride)
    for stage, kept, full in zip(stages[3:], strides[3:], STRIDES[3:], strict=True):
        if kept < full:
            _drop_stride(stage, full // kept if dilated else 1)
    return stages, (16, 24, 32, 96, 1280), strides


def _vgg16(name: Name, weights: str | None, output_stride: int, dilated: bool):
    from weakseg.nets.vgg import build_vgg  # here, since that file builds on this one

    # At stride 16 conv5 sees the grid that it was made for, so there is nothing to dilate.
    form = {32: "vgg16", 16: "lowres", 8: "deeplab" if dilated else "highres"}[output_stride]
    trunk = build_vgg(form, weights)
    return trunk.stages, trunk.channels, trunk.strides
