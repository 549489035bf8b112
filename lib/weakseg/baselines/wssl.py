"""WSSL, EM-Adapt (Papandreou, Chen, Murphy and Yuille, ICCV 2015): estimate labels under the tags, learn, repeat."""

from __future__ import annotations

import functools
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from weakseg.baselines.from_tags import fit_on_tags, train_and_label
from weakseg.data.sets import DataParams
from weakseg.nets.deeplab import DeeplabParams
from weakseg.study.params import Group
from weakseg.study.stages import Artifact, Store


class WsslParams(Group):
    """net, side: as for MIL-FCN. background, foreground: shares of the picture that the background, and every tagged
    class, is to win at least against each other score."""

    net: DeeplabParams
    side: int | None = Field(321, ge=32)
    background: float = Field(0.2, gt=0, lt=1)
    foreground: float = Field(0.4, gt=0, lt=1)


@torch.no_grad()
def estimate(scores: Tensor, allowed: Tensor, background: float, foreground: float) -> Tensor:
    """E-step: labels (B, h, w), the argmax of score plus bias over the allowed classes.

    scores: (B, K, h, w), class 0 the background; allowed: bool (B, K). The bias of a class is the smallest with which,
    the others unchanged, it wins its share of the cells: that quantile of how far it lies behind the best score. Of
    equal values the first class wins.
    """
    B, K, h, w = scores.shape
    masked = scores.flatten(2).masked_fill(~allowed[..., None], -torch.inf)  # (B, K, h * w)
    behind = (masked.amax(1, keepdim=True) - scores.flatten(2)).sort(2).values
    place = {share: math.ceil(share * h * w) - 1 for share in (background, foreground)}
    bias = torch.cat([behind[:, :1, place[background], None], behind[:, 1:, place[foreground], None]], 1)  # (B, K, 1)
    return (masked + bias).argmax(1).view(B, h, w)


def em_loss(background: float, foreground: float, scores: Tensor, allowed: Tensor) -> Tensor:
    """M-step: cross entropy with the labels of the E-step, mean over pictures and cells."""
    return F.cross_entropy(scores, estimate(scores, allowed, background, foreground))


def train_wssl(
    out: Path,
    *,
    pictures: Artifact,
    init: Artifact | None = None,
    weights: Artifact | None = None,
    data: DataParams,
    params: WsslParams,
    seed: int,
) -> None:
    """Stage: one E-step for every M-step; see from_tags.fit_on_tags."""
    loss = functools.partial(em_loss, params.background, params.foreground)
    starts = {"init": init, "weights": weights}
    common = {"pictures": pictures, **starts, "data": data, "net": params.net, "side": params.side, "seed": seed}
    fit_on_tags(out, loss, **common, title="WSSL")


def label_maps(
    store: Store,
    *,
    pictures: Artifact,
    init: Artifact | None = None,
    data: DataParams,
    wssl: WsslParams,
    split: str,
    seed: int,
) -> Artifact:
    """Training and prediction: an artifact with semantic/ of the split."""
    return train_and_label(store, train_wssl, wssl, pictures=pictures, init=init, data=data, split=split, seed=seed)
