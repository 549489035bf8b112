"""How much work a stage is, from its params alone: pictures, pixels, floating point operations of its network.

Units are the same for a stage that is planned and one that was measured, so a rate read off one predicts the other.
"""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pydantic
import torch
from torch.utils.flop_counter import FlopCounterMode

from weakseg.data.menagerie import MenagerieParams
from weakseg.data.sets import DataParams
from weakseg.nets import backbones, hrnet
from weakseg.study import counts

Params = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """Work of one stage.

    flops: of the network's backbone, 0 without one; pixels: seen in all, by whatever else the stage does; crf: pixels x
    iterations x labels of a dense CRF, 0 without one; steps and pictures, as people count them; memory: bytes that
    one training step's activations and weights take; weights: bytes of the backbone's weights.
    """

    flops: float = 0.0
    pixels: float = 0.0
    crf: float = 0.0
    steps: int = 0
    pictures: int = 0
    memory: float = 0.0
    weights: float = 0.0


def of(stage: str, params: Params, inputs: dict[str, str]) -> Work:
    """Work of a stage by its full name, canonical params, and inputs.

    Raises pydantic's ValidationError for params of another version.
    """
    function = stage.rpartition(".")[2]
    if function == "draw_set":
        return _drawing(MenagerieParams.model_validate(params["menagerie"]))
    if not params.get("data"):
        return Work()
    data = DataParams.model_validate(params["data"])
    if function.startswith("train_"):
        return _training(params, data)
    pictures = counts.pictures(data, params.get("split") or "trainaug", params.get("source"))
    pixels = pictures * counts.pixels(data)
    network = "model" in inputs
    labels = counts.classes(data) + 1 if network else 1  # attention has the tagged classes only, about as many anywhere
    crf = sum(one["iterations"] for one in _crfs(params)) * pixels * labels
    flops = _looks(params) * pixels * _backbone(params).flops if network else 0.0
    return Work(flops, pixels * _tries(params), crf, pictures=pictures)


def known(stage: str, params: Params, inputs: dict[str, str]) -> Work | None:
    """As `of`; None where the params are of a version of the code that is gone."""
    try:
        return of(stage, params, inputs)
    except pydantic.ValidationError:
        return None


def _drawing(menagerie: MenagerieParams) -> Work:
    parts = ("n_trainaug", "n_val", "n_tune", "n_salient", "n_salient_test", "n_ilso")
    pictures = sum(getattr(menagerie, part) for part in parts)
    return Work(pixels=pictures * math.prod(menagerie.shape), pictures=pictures)


def _training(params: Params, data: DataParams) -> Work:
    """All trainings named in the params: every group that holds a batch size, and epochs or steps."""
    pictures = counts.pictures(data, params.get("split") or "trainaug", params.get("source"))
    work = Work(pictures=pictures)
    for groups in _trainings(params):
        found, backbone = groups[-1], _backbone(params)
        batch = min(found["batch_size"], pictures)
        steps = found.get("steps") or found["epochs"] * (pictures // batch)
        pixels = batch * _side(groups, data)
        flops = work.flops + 3 * steps * pixels * backbone.flops  # backward takes twice the forward
        memory = max(work.memory, pixels * backbone.saved + 4 * backbone.weights)
        work = Work(flops, work.pixels + steps * pixels, 0.0, work.steps + steps, pictures, memory, backbone.weights)
    return work


# ---------------------------------------------------------------- reading params


def _groups(value: Any, above: tuple[Params, ...] = ()) -> Iterator[tuple[Params, ...]]:
    """Every group inside params, after those that hold it."""
    if isinstance(value, dict):
        yield (*above, value)
        for name, item in value.items():
            if name != "data":
                yield from _groups(item, (*above, value))


def _trainings(params: Params) -> Iterator[tuple[Params, ...]]:
    for groups in _groups(params):
        if groups[-1].get("batch_size") and (groups[-1].get("epochs") or groups[-1].get("steps")):
            yield groups


def _side(groups: tuple[Params, ...], data: DataParams) -> float:
    """Pixels of one sample: of the crop or side that the nearest group names, else of a picture."""
    for group in reversed(groups):
        if side := group.get("crop") or group.get("side"):
            return side**2 if isinstance(side, int) else math.prod(side)
        if group.get("short_side"):
            return group["short_side"] * min(group["long_side"], 4 / 3 * group["short_side"])
    return counts.pixels(data)


def precision(params: Params) -> str:
    """ "bf16" where a group of the params says so, else "fp32"."""
    return "bf16" if any(groups[-1].get("precision") == "bf16" for groups in _groups(params)) else "fp32"


def _crfs(params: Params) -> Iterator[Params]:
    """Groups of a dense CRF, which are known by their kernels."""
    return (groups[-1] for groups in _groups(params) if "bilateral_xy" in groups[-1])


def _looks(params: Params) -> float:
    """How many pictures' worth of pixels the network sees of one picture: scales squared, twice when mirrored."""
    shown = params.get("cam") or next((g[-1]["test"] for g in _groups(params) if g[-1].get("test")), {})
    scales = shown.get("scales") or [1.0]
    return sum(scale**2 for scale in scales) * (2 if shown.get("flip") else 1)


def _tries(params: Params) -> int:
    """How often a stage without a network goes over a picture: once for each value that it chooses among."""
    return max((len(g[-1]["grid"]) for g in _groups(params) if isinstance(g[-1].get("grid"), list)), default=1)


@dataclass(frozen=True)
class Cost:
    """Of a backbone, forward: operations and bytes kept for backward, for each pixel; bytes of its weights."""

    flops: float
    saved: float
    weights: float


def _backbone(params: Params) -> Cost:
    """The backbone that the params name first; a small stand-in where they name none that we can build."""
    for groups in _groups(params):
        group = groups[-1]
        name = group.get("backbone") or (
            "vgg16" if str(group.get("trunk", "")).startswith("vgg") else group.get("trunk")
        )
        if isinstance(name, str):
            # Small HRNets are named like small residual nets; only the group with salient pictures holds one.
            branches = name.startswith("hrnet") or "salient" in group
            return cost(name, group.get("output_stride") or 16, bool(group.get("dilated")), branches)
    return cost("small", 16, False)


@functools.cache
def cost(name: str, output_stride: int, dilated: bool, branches: bool = False, side: int = 256) -> Cost:
    """Counted on the "meta" device: nothing is computed and no weights are read. branches: the HRNet of that name."""
    try:
        with torch.device("meta"):
            net = (
                hrnet.build_hrnet(name)
                if branches
                else backbones.build(name, output_stride=output_stride, dilated=dilated)
            )
            pictures = torch.zeros(1, 3, side, side)
    except ValueError:
        return cost("small", 16, False)
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[id(tensor)] = tensor.numel() * tensor.element_size()
        return tensor

    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one):
        maps = net(pictures)
    weights = sum(parameter.numel() * 4 for parameter in net.parameters())
    saved = max(0, sum(kept.values()) - weights) + 0 * len(maps)
    return Cost(counter.get_total_flops() / side**2, saved / side**2, weights)
