"""The two modules of WSID-Net from the inside: what each of their steps makes of a picture, for figures and lessons."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from weakseg.nets.attention import DoubleAttention
from weakseg.nets.augment import to_tensor
from weakseg.nets.boundary_enhancement import BoundaryEnhancement, canny_edges
from weakseg.nets.final import trained
from weakseg.papers.wsid_net import recipe
from weakseg.papers.wsid_net.model import WsidNet, build_wsid
from weakseg.study.machine import device
from weakseg.study.session import Session


def trained_branches(s: Session, seed: int) -> WsidNet:
    """The network of the two branches as this run trained it, in inference mode."""
    return trained(build_wsid(s.params.wsid), recipe.two_branches(s, seed))


def strength(maps: Tensor) -> np.ndarray:
    """Maps (C, h, w) as one (h, w) in [0, 1]: root mean square over the channels, divided by its maximum."""
    found = maps.float().square().mean(0).sqrt()
    return (found / found.max().clamp(min=1e-9)).cpu().numpy()


@torch.inference_mode()
def enhancement_steps(module: BoundaryEnhancement, picture: np.ndarray) -> dict[str, np.ndarray]:
    """The steps of boundary enhancement (figure 3) on a picture uint8 (H, W, 3), each a map (h, w) in [0, 1]."""
    x = to_tensor(picture)[None].to(device())  # (1, 3, H, W)
    horizontal, vertical = torch.relu(module.horizontal(x)), torch.relu(module.vertical(x))
    deep = module.blocks(torch.cat([horizontal, vertical], 1))
    return {
        "1x7 convolution": strength(horizontal[0]),
        "7x1 convolution": strength(vertical[0]),
        "residual blocks": strength(deep[0]),
        "Canny edges": canny_edges(x, *module.thresholds)[0, 0].cpu().numpy(),
        "f_b": strength(module(x)[0]),
    }


@dataclass(frozen=True)
class AttentionSteps:
    """The steps of double attention (figure 5) on features f (C, h, w).

    average, maximum: (C,), over all places; channel: (C,), Fc. mean, highest: (h, w), over all channels; spatial:
    (h, w), Fs. before, after: (h, w), the strength of f and of f'.
    """

    average: np.ndarray
    maximum: np.ndarray
    channel: np.ndarray
    mean: np.ndarray
    highest: np.ndarray
    spatial: np.ndarray
    before: np.ndarray
    after: np.ndarray


@torch.inference_mode()
def attention_steps(module: DoubleAttention, features: Tensor) -> AttentionSteps:
    """Features (C, h, w) through a module that has both attentions; ValueError for one that lacks either."""
    if module.channel is None or module.spatial is None:
        raise ValueError(f"attention: arrangement {module.arrangement!r} has one attention only; show a parallel one")
    x = features[None]
    vectors = x.mean((2, 3)), x.amax((2, 3)), module.channel(x)
    maps = x.mean(1), x.amax(1), module.spatial(x)
    flat = (each.flatten().cpu().numpy() for each in vectors)
    planes = (each.reshape(x.shape[2:]).cpu().numpy() for each in maps)
    return AttentionSteps(*flat, *planes, strength(x[0]), strength(module(x)[0]))


@torch.inference_mode()
def features_of(net: WsidNet, picture: np.ndarray) -> list[Tensor]:
    """f1..f5, each (C, h, w), of a picture uint8 (H, W, 3)."""
    return [maps[0] for maps in net.backbone(to_tensor(picture)[None].to(device()))]
