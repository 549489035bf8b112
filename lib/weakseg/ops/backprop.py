"""What in a picture speaks for a class: vanilla, guided and excitation back-propagation from class maps.

Simonyan et al. 2014; Springenberg et al. 2015; Zhang et al. 2016. The net is rewritten, layer by layer, into a twin
with the same forward pass and another backward pass, so a call of autograd does the rest.
"""

import copy
import operator
from collections.abc import Callable, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Method = Literal["vanilla", "guided", "excitation"]
NO_RESPONSE = 1e-10  # less excitation than this is none


def twin(net: nn.Module, method: Method) -> nn.Module:
    """A copy of `net` in inference mode that back-propagates by `method`; `net` itself is unchanged.

    net: maps pictures (B, 3, H, W) to class maps (B, C, h, w), made of convolutions, batch norm after a convolution,
    ReLU, dropout, max pooling and sums of two branches.
    """
    traced = fx.symbolic_trace(copy.deepcopy(net).eval().requires_grad_(False))
    if method == "excitation":
        _fold_norms(traced)
    _swap(traced, *_RULES[method])
    traced.recompile()
    return traced


def respond(twin: nn.Module, pictures: Tensor, labels: Tensor, method: Method) -> Tensor:
    """Saliency (B, H, W) of class labels (B,) for pictures (B, 3, H, W): the largest absolute value over RGB.

    The gradient methods start from the class score, the mean of the class's map; excitation from probability 1, shared
    among the cells of that map in proportion to their positive values.
    """
    pictures = pictures.detach().requires_grad_()
    maps = twin(pictures)
    B, C, h, w = maps.shape
    rows = torch.arange(B, device=maps.device)
    chosen = maps.detach()[rows, labels].clamp(min=0)
    shares = chosen / chosen.sum((1, 2), keepdim=True).clamp(min=NO_RESPONSE)
    start = torch.zeros_like(maps)
    start[rows, labels] = shares if method == "excitation" else 1 / (h * w)
    (down,) = torch.autograd.grad(maps, pictures, start)
    return down.abs().amax(1)


# ---------------------------------------------------------------- rewriting


def _swap(traced: fx.GraphModule, modules: Mapping[type, Callable], functions: Mapping[Callable, Callable]) -> None:
    """Puts the twins of layers (by type) and of functions into the graph."""
    for node in traced.graph.nodes:
        if node.op == "call_module":
            layer = traced.get_submodule(node.target)
            if type(layer) in modules:
                traced.set_submodule(node.target, modules[type(layer)](layer))
        elif node.op == "call_function":
            node.target = functions.get(node.target, node.target)


def _fold_norms(traced: fx.GraphModule) -> None:
    """Batch norm in inference mode becomes part of the convolution before it, so that both are one linear layer."""
    for node in list(traced.graph.nodes):
        if node.op != "call_module" or not isinstance(traced.get_submodule(node.target), nn.BatchNorm2d):
            continue
        before = node.args[0]
        layer = traced.get_submodule(before.target) if before.op == "call_module" else None
        if not isinstance(layer, nn.Conv2d):
            raise ValueError(f"excitation back-propagation: no convolution before the batch norm {node.target}")
        traced.set_submodule(before.target, fuse_conv_bn_eval(layer, traced.get_submodule(node.target)))
        node.replace_all_uses_with(before)
        traced.graph.erase_node(node)


# ---------------------------------------------------------------- guided


class _GuidedRelu(torch.autograd.Function):
    """ReLU; backward passes what is positive, where the input was: dx = [x > 0] [dy > 0] dy."""

    @staticmethod
    def forward(ctx, x: Tensor, top: float) -> Tensor:
        ctx.save_for_backward((x > 0) & (x < top))
        return x.clamp(0, top)

    @staticmethod
    def backward(ctx, outgoing: Tensor):
        (active,) = ctx.saved_tensors
        return outgoing.clamp(min=0) * active, None


class GuidedRelu(nn.Module):
    """ReLU, cut at `top`, with the guided backward pass."""

    def __init__(self, top: float = torch.inf):
        super().__init__()
        self.top = top

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return _GuidedRelu.apply(x, self.top)


def guided_relu(x: Tensor, inplace: bool = False) -> Tensor:
    """The function form, for nets that call torch.relu."""
    return _GuidedRelu.apply(x, torch.inf)


# ---------------------------------------------------------------- excitation


class _ExcitationConvolution(torch.autograd.Function):
    """A convolution that hands winning probability down to what excited it (Zhang et al. 2016, equation 5):

        P(j | i) = x_j w_ij / sum_k x_k w_ik  over the weights w > 0,   P(j) = sum_i P(j | i) P(i)

    x is not negative after a ReLU; where it is (the picture, linear bottlenecks) it is shifted by its minimum. A neuron
    that nothing but its bias excites shares evenly among all it looks at, so that the sum over P is kept.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: tuple) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        return F.conv2d(x, weight, bias, *geometry)

    @staticmethod
    def backward(ctx, probability: Tensor):
        x, weight = ctx.saved_tensors
        excited = x - x.amin((1, 2, 3), keepdim=True).clamp(max=0)
        down, blind = _shared(probability, excited, weight.clamp(min=0), ctx.geometry)
        if blind.any():
            down = down + _shared(blind, torch.ones_like(x), torch.ones_like(weight), ctx.geometry)[0]
        return down, None, None, None


def _shared(probability: Tensor, excited: Tensor, weight: Tensor, geometry: tuple) -> tuple[Tensor, Tensor]:
    """Probability of the outputs handed to the inputs, and what is left with outputs that nothing excites."""
    response = F.conv2d(excited, weight, None, *geometry)
    explained = response >= NO_RESPONSE
    share = torch.where(explained, probability / response.clamp(min=NO_RESPONSE), 0.0)
    down = excited * torch.nn.grad.conv2d_input(excited.shape, weight, share, *geometry)
    return down, torch.where(explained, 0.0, probability)


class ExcitationConv2d(nn.Module):
    """A convolution with another's weights and zero padding, whose backward pass is marginal winning probability."""

    def __init__(self, source: nn.Conv2d):
        super().__init__()
        if source.padding_mode != "zeros" or isinstance(source.padding, str):
            raise ValueError(f"excitation back-propagation: {source} does not pad with a number of zeros; make it so")
        self.weight, self.bias = source.weight, source.bias
        self.geometry = (source.stride, source.padding, source.dilation, source.groups)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H', W'), the same numbers as the source."""
        return _ExcitationConvolution.apply(x, self.weight, self.bias, self.geometry)


class _SharedSum(torch.autograd.Function):
    """a + b; backward shares in proportion to the positive parts of a and b, evenly where there are none."""

    @staticmethod
    def forward(ctx, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return a + b

    @staticmethod
    def backward(ctx, probability: Tensor):
        left, right = (x.clamp(min=0) for x in ctx.saved_tensors)
        total = left + right
        part = torch.where(total > 0, left / total.clamp(min=NO_RESPONSE), 0.5)
        return probability * part, probability * (1 - part)


class _Through(torch.autograd.Function):
    """value, with the whole backward pass going to x: a change of one number for one number shares nothing."""

    @staticmethod
    def forward(ctx, x: Tensor, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx, probability: Tensor):
        return probability, None


class Through(nn.Module):
    """A function of each number by itself (a ReLU) that hands all probability to its input."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return _Through.apply(x, self.function(x))


def through_relu(x: Tensor, inplace: bool = False) -> Tensor:
    """torch.relu that hands all probability on."""
    return _Through.apply(x, x.clamp(min=0))


def through_difference(x: Tensor, y: Tensor) -> Tensor:
    """x - y (the mean colour) that hands all probability to x."""
    return _Through.apply(x, x - y)


def through_quotient(x: Tensor, y: Tensor) -> Tensor:
    """x / y (the spread of colours) that hands all probability to x."""
    return _Through.apply(x, x / y)


def shared_sum(a: Tensor, b: Tensor) -> Tensor:
    """a + b, two branches of one shape."""
    return _SharedSum.apply(a, b)


def _relus(module: Callable, function: Callable) -> tuple[dict, dict]:
    return {nn.ReLU: lambda _: module(torch.inf), nn.ReLU6: lambda _: module(6.0)}, {
        torch.relu: function,
        F.relu: function,
    }


_EXCITATION = _relus(lambda top: Through(lambda x: x.clamp(0, top)), through_relu)
_RULES: dict[str, tuple[dict, dict]] = {
    "vanilla": ({}, {}),
    "guided": _relus(GuidedRelu, guided_relu),
    "excitation": (
        {**_EXCITATION[0], nn.Conv2d: ExcitationConv2d},
        {
            **_EXCITATION[1],
            operator.add: shared_sum,
            operator.sub: through_difference,
            operator.truediv: through_quotient,
        },
    ),
}
