"""Tag classifiers whose maps are seeds: GAP in four forms, and plain VGG-16 (Oh et al. 2017, section 4, table 6)."""

from collections import OrderedDict
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from weakseg.nets import backbones, vgg
from weakseg.nets.final import Optimisation
from weakseg.ops.roi_grid import RoiGrid
from weakseg.study.params import Group

Trunk = Literal["vgg16", "tiny", "small", "resnet50", "resnet101", "mobilenet_v2"]


class SeederParams(Group):
    """A tag classifier and its training; one group serves all forms. Defaults: the paper's GAP nets (methods 6.1).

    finest: stride of highres, roi and deeplab; lowres has twice that. channels: of fc6 and fc7. dilation: of deeplab's
    fc6, in cells. side: pictures are shrunk or enlarged to this long side and padded to a square by reflection; null
    takes them as they are. cut: largest share cut off each side in training. head_lr: factor on the rate of the last
    layer; bias_lr: on that of biases, which do not decay.
    """

    trunk: Trunk = "vgg16"
    weights: str | None = "torchvision"
    finest: Literal[8, 16] = 8
    channels: int = Field(1024, ge=1)
    dilation: int = Field(12, ge=1)
    dropout: float = Field(0.5, ge=0, lt=1)
    side: int | None = Field(321, ge=32)
    cut: float = Field(0.1, ge=0, lt=0.5)
    head_lr: float = Field(10.0, gt=0)
    bias_lr: float = Field(2.0, gt=0)
    training: Optimisation = Optimisation(
        steps=8000, batch_size=15, lr=1e-3, weight_decay=5e-4, schedule="steps", drops=(0.25, 0.5, 0.75)
    )

    @model_validator(mode="after")
    def _vgg_as_in_table_6(self) -> "SeederParams":
        if self.trunk == "vgg16" and self.finest != 8:
            raise ValueError("finest: VGG-16 has stride 8 (table 6 of the paper); leave it at 8 or name another trunk")
        return self

    def stride(self, form: vgg.Form) -> int:
        """The stride of a form's maps, on a trunk that is not VGG-16."""
        return {"vgg16": 32, "lowres": 2 * self.finest}.get(form, self.finest)


class GapNet(nn.Module):
    """Trunk, head (fc6, fc7), bias-free classifier (fc8), global average pooling.

    Pooling comes last in all forms; between the head and fc8, both linear, it would give the same scores (section B.1).
    """

    def __init__(self, backbone: backbones.Backbone, head: nn.Sequential, channels: int, classes: int):
        super().__init__()
        self.backbone, self.head = backbone, head
        self.fc8 = nn.Conv2d(channels, classes, 1, bias=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """pictures (B, 3, H, W) in [0, 1] -> logits (B, C)."""
        return self.cam(pictures).mean((2, 3))

    def cam(self, pictures: Tensor) -> Tensor:
        """Class maps (B, C, h, w), before any ReLU."""
        return self.fc8(self.head(self.backbone(pictures)[-1]))


class ClassMaps(nn.Module):
    """A classifier seen as the function from pictures to class maps."""

    def __init__(self, net: GapNet):
        super().__init__()
        self.net = net

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, h, w)."""
        return self.net.cam(pictures)


def build_seeder(form: vgg.Form, params: SeederParams, classes: int, weights: str | None = None) -> GapNet:
    """The classifier of a form; `weights` (a file or "torchvision") for its trunk, random ones without.

    On VGG-16 the layers of table 6. Another trunk asks the same question at its own size: stride 32 (vgg16), twice the
    `finest` (lowres) or the finest in the last stages, dilated there for deeplab only.
    """
    if params.trunk == "vgg16":
        backbone = vgg.build_vgg(form, weights)
    else:
        norm = backbones.norm_kept(params.trunk, params.weights, None)
        backbone = backbones.build(
            params.trunk,
            weights=weights,
            output_stride=params.stride(form),
            frozen_norm=norm,
            dilated=form == "deeplab",
        )
    plain_vgg = form == "vgg16" and params.trunk == "vgg16"
    channels = 4096 if plain_vgg else params.channels
    net = GapNet(backbone, _head(form, backbone.channels[-1], channels, params, plain_vgg), channels, classes)
    if plain_vgg and weights:
        load_plain_head(net.head, vgg.read_vgg16(weights))
    return net


def _head(form: vgg.Form, inputs: int, channels: int, params: SeederParams, plain_vgg: bool) -> nn.Sequential:
    fc6 = {
        "roi": {"kernel_size": 1},
        "deeplab": {"kernel_size": 3, "padding": params.dilation, "dilation": params.dilation},
        "vgg16": {"kernel_size": 7} if plain_vgg else {"kernel_size": 3, "padding": 1},
    }.get(form, {"kernel_size": 3, "padding": 1})
    layers = [("roi_pool", RoiGrid(3))] if form == "roi" else []
    layers += _layer(6, nn.Conv2d(inputs, channels, **fc6), params.dropout)
    if form != "lowres":
        fc7 = {"kernel_size": 3, "padding": 1} if form == "highres" else {"kernel_size": 1}
        layers += _layer(7, nn.Conv2d(channels, channels, **fc7), params.dropout)
    return nn.Sequential(OrderedDict(layers))


def _layer(number: int, convolution: nn.Conv2d, dropout: float) -> list[tuple[str, nn.Module]]:
    return [(f"fc{number}", convolution), (f"relu{number}", nn.ReLU()), (f"drop{number}", nn.Dropout(dropout))]


@torch.no_grad()
def load_plain_head(head: nn.Sequential, state: dict[str, Tensor]) -> None:
    """fc6 and fc7 from VGG-16's linear layers, seen as convolutions."""
    for layer, source in ((head.fc6, "classifier.0"), (head.fc7, "classifier.3")):
        layer.weight.copy_(state[f"{source}.weight"].view_as(layer.weight))
        layer.bias.copy_(state[f"{source}.bias"])


def seeder_optimiser(net: GapNet, params: SeederParams) -> torch.optim.Optimizer:
    """Groups of their own for weights and biases, of trunk and head, and for the last layer (see SeederParams)."""
    how = params.training
    groups = _groups(net.backbone, how, how.lr * how.backbone_lr, params.bias_lr)
    groups += _groups(net.head, how, how.lr, params.bias_lr)
    groups.append({"params": [*net.fc8.parameters()], "lr": how.lr * params.head_lr, "weight_decay": how.weight_decay})
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups) if how.method == "adamw" else torch.optim.SGD(groups, momentum=how.momentum)


def _groups(part: nn.Module, how: Optimisation, lr: float, bias_lr: float) -> list[dict]:
    learning = [(name, one) for name, one in part.named_parameters() if one.requires_grad]
    biases = [one for name, one in learning if name.endswith("bias")]
    weights = [one for name, one in learning if not name.endswith("bias")]
    return [
        {"params": weights, "lr": lr, "weight_decay": how.weight_decay},
        {"params": biases, "lr": lr * bias_lr, "weight_decay": 0.0},
    ]
