"""VGG-16's convolutions in the five forms of Oh et al. 2017, table 6; poolings round up, as Caffe's do.

    form      pools                             conv5        map of a 321 px picture
    vgg16     1-5, 2x2                          -            11 x 11
    lowres    1-4, 2x2                          -            21 x 21
    highres   1-3, 2x2                          -            41 x 41
    roi       1-3, 2x2                          -            41 x 41
    deeplab   1-5, 3x3, strides 2, 2, 2, 1, 1   dilation 2   41 x 41

The table prints stride 1 for deeplab's third pool and no fifth; the released code, followed here, has these.
"""

from collections import OrderedDict
from typing import Literal

import torch
import torchvision
from torch import Tensor, nn

from weakseg.nets.backbones import Backbone, find_weights, read_weights

Form = Literal["vgg16", "lowres", "highres", "roi", "deeplab"]
CHANNELS = (64, 128, 256, 512, 512)
DEPTHS = (2, 2, 3, 3, 3)  # convolutions per stage
POOLS: dict[Form, int] = {"vgg16": 5, "lowres": 4, "highres": 3, "roi": 3, "deeplab": 5}


def pool(form: Form, number: int) -> nn.MaxPool2d | None:
    """Pool `number` (1..5) of a form; None where the form has none."""
    if number > POOLS[form]:
        return None
    if form == "deeplab":
        return nn.MaxPool2d(3, 2 if number <= 3 else 1, 1, ceil_mode=True)
    return nn.MaxPool2d(2, 2, ceil_mode=True)


def build_vgg(form: Form, weights: str | None = None) -> Backbone:
    """The trunk of a form: five stages conv1..conv5, each but the first opening with the pool before it.

    weights: None (He et al. 2015), "torchvision" (its cache or download), or a file of torchvision's VGG-16; see
    nets.backbones.find_weights. Raises ValueError for an unknown form.
    """
    if form not in POOLS:
        raise ValueError(f"VGG form: {form!r} is unknown; one of {', '.join(POOLS)}")
    stages = [_stage(form, number) for number in range(1, 6)]
    convolutions = [layer for stage in stages for layer in stage if isinstance(layer, nn.Conv2d)]
    if weights:
        _load(convolutions, read_vgg16(weights))
    else:
        for layer in convolutions:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    last = 1 if form == "deeplab" else 2 ** (POOLS[form] - 3)
    strides = (1, 2, 4, 8, 8 * last)
    return Backbone(stages, CHANNELS, strides)


def _stage(form: Form, number: int) -> nn.Sequential:
    inputs, outputs = (3, *CHANNELS)[number - 1], CHANNELS[number - 1]
    dilation = 2 if form == "deeplab" and number == 5 else 1
    before = pool(form, number - 1) if number > 1 else None
    layers = [] if before is None else [(f"pool{number - 1}", before)]
    for turn in range(1, DEPTHS[number - 1] + 1):
        convolution = nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation)
        layers += [(f"conv{number}_{turn}", convolution), (f"relu{number}_{turn}", nn.ReLU(inplace=True))]
        inputs = outputs
    after = pool(form, 5) if number == 5 else None
    return nn.Sequential(OrderedDict(layers if after is None else [*layers, ("pool5", after)]))


def read_vgg16(weights: str) -> dict[str, Tensor]:
    """State of torchvision's VGG-16: "torchvision", or a file as find_weights names it."""
    path = find_weights(weights, "vgg16")
    if path is not None:
        return read_weights(path)
    return torchvision.models.vgg16(weights="IMAGENET1K_V1").state_dict()


@torch.no_grad()
def _load(convolutions: list[nn.Conv2d], state: dict[str, Tensor]) -> None:
    keys = sorted((k for k in state if k.startswith("features.")), key=lambda key: int(key.split(".")[1]))
    places = list(dict.fromkeys(key.split(".")[1] for key in keys))
    if len(places) != len(convolutions):
        raise ValueError(
            f"weights: {len(places)} convolutions where VGG-16 has {len(convolutions)}; give torchvision's file"
        )
    for layer, place in zip(convolutions, places, strict=True):
        layer.weight.copy_(state[f"features.{place}.weight"])
        layer.bias.copy_(state[f"features.{place}.bias"])
