"""Class attention maps: several scales, mirrored pictures, normalised per class (IRN section 3 and its code)."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field

from weakseg.study.params import Group

EPSILON = 1e-5


class CamParams(Group):
    """How attention is read from the classifier. IRN: four scales, each with its mirror image, ReLU before the sum."""

    scales: tuple[float, ...] = Field((1.0, 0.5, 1.5, 2.0), min_length=1)
    flip: bool = True
    grid: int = Field(4, ge=1)
    batch_size: int = Field(1, ge=1)


class AttentionNet(Protocol):
    """Anything that maps pictures (B, 3, H, W) to unnormalised attention (B, C, h, w)."""

    def cam(self, pictures: torch.Tensor) -> torch.Tensor: ...


@dataclass(frozen=True)
class Cams:
    """Attention of the tagged classes of one picture, each class with maximum (almost) 1.

    classes (n,) 0-based; low (n, h, w) on the stride-4 grid, high (n, H, W) at the picture's size; float32.
    """

    classes: np.ndarray
    low: np.ndarray
    high: np.ndarray


@torch.inference_mode()
def multi_scale(net: AttentionNet, pictures: torch.Tensor, cam: CamParams) -> list[torch.Tensor]:
    """One map (B, C, h_s, w_s) per scale: ReLU(theta^T f) of the picture plus that of its mirror image, mirrored back.

    pictures: (B, 3, H, W) in [0, 1]. Equation (1) of the paper has neither ReLU nor scales; the released code has both.
    """
    maps = []
    for scale in cam.scales:
        scaled = pictures if scale == 1 else _resize(pictures, scale)
        attention = F.relu(net.cam(scaled).float())
        if cam.flip:
            attention = attention + F.relu(net.cam(scaled.flip(-1)).float()).flip(-1)
        maps.append(attention)
    return maps


def _resize(pictures: torch.Tensor, scale: float) -> torch.Tensor:
    size = [max(1, round(side * scale)) for side in pictures.shape[-2:]]
    return F.interpolate(pictures, size, mode="bicubic", align_corners=False).clamp(0, 1)


def grid_size(size: tuple[int, int], stride: int = 4) -> tuple[int, int]:
    """Cells of a grid over a picture of `size` (H, W): (side - 1) // stride + 1 each way."""
    return (size[0] - 1) // stride + 1, (size[1] - 1) // stride + 1


def merge(maps: list[np.ndarray], classes: np.ndarray, size: tuple[int, int], stride: int = 4) -> Cams:
    """Sums the scales' maps (n, h_s, w_s) of the tagged `classes` at grid and full size and divides by each maximum.

    The full size is rounded up to a multiple of 16 for the interpolation and cut afterwards, as IRN does.
    """
    padded = tuple(16 * -(-side // 16) for side in size)
    low = _summed(maps, grid_size(size, stride))
    high = _summed(maps, padded)[:, : size[0], : size[1]]
    return Cams(np.asarray(classes), normalise(low), normalise(high))


def _summed(maps: list[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    if not len(maps[0]):
        return np.zeros((0, *size), np.float32)
    resized = [F.interpolate(torch.from_numpy(m)[None], size, mode="bilinear", align_corners=False)[0] for m in maps]
    return sum(resized).numpy()


def normalise(maps: np.ndarray) -> np.ndarray:
    """Each map (n, H, W) over its own maximum + 1e-5, so that an empty map stays empty."""
    return maps / (maps.max((1, 2), keepdims=True, initial=0) + EPSILON)


def label_map(scores: np.ndarray, background: float) -> np.ndarray:
    """Per-pixel argmax over {a constant background score, scores (n, H, W)}: 0 background, k + 1 for scores[k]."""
    constant = np.full((1, *scores.shape[1:]), background, scores.dtype)
    return np.concatenate([constant, scores]).argmax(0)
