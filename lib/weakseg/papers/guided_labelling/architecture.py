"""Table 6, read off the networks as they are built."""

import pandas as pd
import torch
from torch import Tensor, nn

from weakseg.nets import vgg
from weakseg.ops.roi_grid import RoiGrid
from weakseg.papers.guided_labelling.model import GapNet, SeederParams, build_seeder

COLUMNS: dict[str, vgg.Form] = {
    "VGG-16": "vgg16",
    "GAP-LowRes": "lowres",
    "GAP-HighRes": "highres",
    "GAP-ROI": "roi",
    "GAP-DeepLab": "deeplab",
}
INPUT = {"vgg16": 224, "lowres": 321, "highres": 321, "roi": 321, "deeplab": 321}  # side in pixels, as the table has it
ROWS = [layer for k in range(1, 6) for layer in (f"conv{k}", f"pool{k}")] + ["roi_pool", "fc6", "fc7", "fc8"]


def build(form: vgg.Form, classes: int = 20) -> GapNet:
    """The net of a column on VGG-16, without any memory for its numbers."""
    with torch.device("meta"):
        return build_seeder(form, SeederParams(weights=None), classes).eval()


def describe(layer: nn.Module) -> str:
    """A layer as the table writes it: (channels,kernel,kernel), then stride, dilation and padding where not 1, 1, 0."""
    if isinstance(layer, RoiGrid):
        return f"RoI-pool {layer.extra_repr()}"
    convolution = isinstance(layer, nn.Conv2d)
    kernel, stride, dilation, pad = (
        value[0] if isinstance(value, tuple) else value
        for value in (layer.kernel_size, layer.stride, layer.dilation, layer.padding)
    )
    text = f"({layer.out_channels if convolution else '-'},{kernel},{kernel})"
    facts = {"st": (stride, 1), "dil": (dilation, 1), "pad": (pad, 0)}
    return " ".join([text, *(f"{name}={value}" for name, (value, usual) in facts.items() if value != usual)])


def layers(net: GapNet) -> dict[str, list[nn.Module]]:
    """Convolutions and pools by the row of the table that they belong to (conv1 holds conv1_1 and conv1_2)."""
    found: dict[str, list[nn.Module]] = {}
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | RoiGrid):
            found.setdefault(row_of(name), []).append(layer)
    return found


def row_of(name: str) -> str:
    """The row of a layer by its dotted name: backbone.stages.0.conv1_2 belongs to conv1, head.fc6 to fc6."""
    last = name.split(".")[-1]
    return last.split("_")[0] if last.startswith("conv") else last


def sizes(net: GapNet, side: int) -> dict[str, tuple[int, ...]]:
    """(channels, height, width) that leave the last layer of every row, for a picture of side x side pixels."""
    measured: dict[str, tuple[int, ...]] = {}

    def keep(row: str):
        def hook(layer: nn.Module, given: tuple, result: Tensor) -> None:
            measured[row] = tuple(result.shape[1:])

        return hook

    hooks = [rows[-1].register_forward_hook(keep(row)) for row, rows in layers(net).items()]
    net.cam(torch.zeros(1, 3, side, side, device="meta"))
    for hook in hooks:
        hook.remove()
    return measured


def table6() -> pd.DataFrame:
    """One row per layer, one column per net: its layers, and the size of what leaves the last of them."""
    cells = {column: _column(form) for column, form in COLUMNS.items()}
    return pd.DataFrame(cells, index=["input", *ROWS, "heat map"]).fillna("-")


def _column(form: vgg.Form) -> dict[str, str]:
    net, side = build(form), INPUT[form]
    found, left = layers(net), sizes(net, side)
    cells = {row: _cell(rows, left[row]) for row, rows in found.items()}
    return {"input": f"(3,{side},{side})", **cells, "heat map": _triplet(left["fc8"])}


def _cell(rows: list[nn.Module], size: tuple[int, ...]) -> str:
    times = f"{len(rows)} x " if len(rows) > 1 else ""
    return f"{times}{describe(rows[-1])} -> {_triplet(size)}"


def _triplet(size: tuple[int, ...]) -> str:
    return f"({','.join(map(str, size))})"
