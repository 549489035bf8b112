"""Peaks of class maps: peak stimulation for training, peak back-propagation for seeing what a peak responded to.

Zhou et al., "Weakly supervised instance segmentation using class peak response", CVPR 2018, sections 3.1 and 3.2.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Below this response of the positive weights a cell explains nothing and passes nothing down (the released value).
NO_RESPONSE = 1e-10


class Peaks(NamedTuple):
    """Peaks of a batch of class maps, one entry each: picture, label, y, x (P,) int and value (P,)."""

    picture: Tensor
    label: Tensor
    y: Tensor
    x: Tensor
    value: Tensor


def find_peaks(maps: Tensor, window: int = 3) -> Tensor:
    """Where class maps have their local maxima: bool (B, C, h, w).

    A peak is the largest value of the window x window cells around it and at least the median of its map. Of equal
    values in a window the first counts. `window` is odd.
    """
    B, C, h, w = maps.shape
    _, winner = F.max_pool2d(maps, window, stride=1, padding=window // 2, return_indices=True)
    own = torch.arange(h * w, device=maps.device).view(1, 1, h, w)
    median = maps.flatten(2).median(dim=2).values[..., None, None]
    return (winner == own) & (maps >= median)


def stimulate(maps: Tensor, window: int = 3) -> Tensor:
    """Class scores (B, C) as the mean of the peaks, so that only peaks receive gradient:

        s_c = 1 / N_c * sum_k M_c(i_k, j_k)      (section 3.1, equation 2)

    maps: (B, C, h, w) before any sigmoid.
    """
    peaks = find_peaks(maps.detach(), window).to(maps.dtype)
    return (maps * peaks).sum(dim=(2, 3)) / peaks.sum(dim=(2, 3)).clamp(min=1)


def list_peaks(maps: Tensor, threshold: float, relative: bool, class_threshold: float, window: int, most: int) -> Peaks:
    """Peaks worth following, strongest first in each picture.

    A peak must reach `threshold` (times its map's maximum when `relative`), its class a score of `class_threshold`.
    most: peaks kept per picture.
    """
    found = find_peaks(maps, window)
    level = threshold * maps.amax(dim=(2, 3), keepdim=True) if relative else threshold
    present = (stimulate(maps, window) >= class_threshold)[..., None, None]
    picture, label, y, x = (found & (maps >= level) & present).nonzero(as_tuple=True)
    value = maps[picture, label, y, x]
    order = value.argsort(descending=True, stable=True)
    order = order[picture[order].argsort(stable=True)]  # by picture, then by falling value
    peaks = Peaks(picture[order], label[order], y[order], x[order], value[order])
    return Peaks(*(part[place_in_picture(peaks.picture) < most] for part in peaks))


def place_in_picture(picture: Tensor) -> Tensor:
    """0, 1, 2, ... inside every run of equal entries of the sorted `picture` (P,)."""
    place = torch.arange(len(picture), device=picture.device)
    return place - torch.searchsorted(picture.contiguous(), picture, right=False)


class _PositiveConvolution(torch.autograd.Function):
    """A convolution whose backward pass hands responsibility to positive weights only.

    Forward as usual. Backward, with u = x - min(x) and W+ = max(W, 0):
        dx = u * conv_transpose(dy / conv(u, W+), W+)      (section 3.2, equations 3 and 4)
    so the incoming amount is shared among the inputs in proportion to their excitation; it is conserved.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None, *geometry) -> Tensor:
        positive = weight.clamp(min=0)
        shifted = x - x.amin(dim=(1, 2, 3), keepdim=True)
        response = F.conv2d(shifted, positive, None, *geometry)
        ctx.save_for_backward(shifted, positive, torch.where(response >= NO_RESPONSE, 1 / response, 0.0))
        ctx.geometry = geometry
        return F.conv2d(x, weight, bias, *geometry)

    @staticmethod
    def backward(ctx, outgoing: Tensor):
        shifted, positive, per_response = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.geometry
        share = outgoing * per_response
        down = torch.nn.grad.conv2d_input(shifted.shape, positive, share, stride, padding, dilation, groups)
        return shifted * down, None, None, None, None, None, None


class PositiveConv2d(nn.Conv2d):
    """A convolution that shares the weights of another and back-propagates peaks (zero padding only)."""

    def __init__(self, source: nn.Conv2d):
        nn.Module.__init__(self)
        if source.padding_mode != "zeros" or isinstance(source.padding, str):
            raise ValueError(
                f"peak back-propagation: {source} pads in a way that is not supported; use zeros and numbers"
            )
        self.weight, self.bias = source.weight, source.bias
        self.geometry = (source.stride, source.padding, source.dilation, source.groups)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H', W'), the same numbers as the source."""
        return _PositiveConvolution.apply(x, self.weight, self.bias, *self.geometry)

    def extra_repr(self) -> str:
        return f"weight {tuple(self.weight.shape)}"


def for_back_propagation(net: nn.Module) -> nn.Module:
    """A copy of the net in inference mode whose convolutions back-propagate peaks; the net itself is unchanged."""
    twin = copy.deepcopy(net).eval().requires_grad_(False)
    for parent in list(twin.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Conv2d:
                setattr(parent, name, PositiveConv2d(child))
    return twin


def back_propagate(twin: nn.Module, pictures: Tensor, peaks: Peaks, at_once: int = 16) -> Tensor:
    """Peak response maps (P, H, W), each non-negative with sum 1 (0 where nothing was explained).

    Args:
        twin: from `for_back_propagation`. pictures: (B, 3, H, W). peaks: P of them. at_once: peaks in one pass; every
            peak takes its picture along, because most pictures have one peak and a few have many.
    """
    parts = [
        _pass_down(twin, pictures[picture], label, y, x)
        for picture, label, y, x in zip(*(part.split(at_once) for part in peaks[:4]), strict=True)
    ]
    result = torch.cat(parts).clamp(min=0)
    return result / result.sum(dim=(1, 2), keepdim=True).clamp(min=NO_RESPONSE)


def _pass_down(twin: nn.Module, pictures: Tensor, label: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """One peak per picture (P, 3, H, W) from the class maps to the pictures, summed over RGB: (P, H, W)."""
    if not len(pictures):
        return pictures.new_zeros(0, *pictures.shape[2:])
    pictures = pictures.detach().requires_grad_()
    maps = twin(pictures)
    start = maps[torch.arange(len(pictures), device=maps.device), label, y, x].sum()
    (down,) = torch.autograd.grad(start, pictures)
    return down.sum(dim=1)
