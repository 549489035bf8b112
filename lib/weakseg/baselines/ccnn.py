"""CCNN (Pathak, Krähenbühl and Darrell, ICCV 2015): learn from the distribution, nearest to the net's own, that keeps
linear constraints on how many pixels each class has."""

from __future__ import annotations

import functools
from pathlib import Path

import torch
from pydantic import Field, model_validator
from torch import Tensor

from weakseg.baselines.from_tags import fit_on_tags, train_and_label
from weakseg.data.sets import DataParams
from weakseg.nets.deeplab import DeeplabParams
from weakseg.study.params import Group
from weakseg.study.stages import Artifact, Store

NEVER = -1e4  # score of a class that the picture does not have


class Sizes(Group):
    """Constraints on shares of the picture: each tagged class has at least `foreground`, the background at least and at
    most `background`. slack: what a missing unit of foreground may cost, the cap of its multiplier. Defaults:
    the released ones without size information."""

    foreground: float = Field(0.05, ge=0, le=1)
    background: tuple[float, float] = (0.3, 0.7)
    slack: float = Field(2.0, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Sizes:
        if not 0 <= self.background[0] <= self.background[1] <= 1:
            raise ValueError(f"background: {self.background} must be shares of the picture, the smaller one first")
        return self


WITH_SIZE = Sizes(foreground=0.10, background=(0.2, 0.7))  # row Z of Oh et al. 2017, table 3


class CcnnParams(Group):
    """net, side: as for MIL-FCN. sizes: of the row without size information; sizes_known: of the row with it.
    iterations, rate: of the projection."""

    net: DeeplabParams
    side: int | None = Field(321, ge=32)
    sizes: Sizes = Sizes()
    sizes_known: Sizes = WITH_SIZE
    iterations: int = Field(100, ge=1)
    rate: float = Field(2.0, gt=0, lt=4)


@torch.no_grad()
def project(scores: Tensor, allowed: Tensor, sizes: Sizes, iterations: int = 100, rate: float = 2.0) -> Tensor:
    """The nearest distributions, in KL(P || softmax(scores)), that keep the constraints: (B, K, h, w).

    scores: (B, K, h, w), class 0 the background. allowed: bool (B, K). By projected gradient ascent on the dual: a
    multiplier for each lower and upper bound raises or lowers a class's score everywhere,

        P_i(l) ~ exp(f_i(l) + low_l - high_l),   low_l += rate (bound - mean_i P_i(l)),   high_l likewise,

    none negative, and low_l at most the slack for foreground. A rate under 4 cannot overshoot for ever.
    """
    low = scores.new_zeros(scores.shape[:2])
    high = torch.zeros_like(low)
    least = torch.full_like(low, sizes.foreground) * allowed
    least[:, 0] = sizes.background[0]
    cap = torch.full_like(low, sizes.slack)
    cap[:, 0] = torch.inf
    masked = scores.masked_fill(~allowed[..., None, None], NEVER)
    for _ in range(iterations):
        share = (masked + (low - high)[..., None, None]).softmax(1).mean((2, 3))
        low = torch.minimum((low + rate * (least - share)).clamp(min=0), cap)
        high[:, 0] = (high[:, 0] + rate * (share[:, 0] - sizes.background[1])).clamp(min=0)
    return (masked + (low - high)[..., None, None]).softmax(1)


def constrained_loss(sizes: Sizes, iterations: int, rate: float, scores: Tensor, allowed: Tensor) -> Tensor:
    """Cross entropy from the projection P to the softmax Q, mean over pictures and cells; its gradient is Q - P."""
    target = project(scores, allowed, sizes, iterations, rate)
    return -(target * scores.log_softmax(1)).sum(1).mean()


def train_ccnn(
    out: Path,
    *,
    pictures: Artifact,
    init: Artifact | None = None,
    weights: Artifact | None = None,
    data: DataParams,
    params: CcnnParams,
    seed: int,
) -> None:
    """Stage: trains with the constraints params.sizes; see from_tags.fit_on_tags."""
    loss = functools.partial(constrained_loss, params.sizes, params.iterations, params.rate)
    starts = {"init": init, "weights": weights}
    common = {"pictures": pictures, **starts, "data": data, "net": params.net, "side": params.side, "seed": seed}
    fit_on_tags(out, loss, **common, title="CCNN")


def label_maps(
    store: Store,
    *,
    pictures: Artifact,
    init: Artifact | None = None,
    data: DataParams,
    ccnn: CcnnParams,
    size_known: bool,
    split: str,
    seed: int,
) -> Artifact:
    """Training and prediction, with the constraints of one of the two rows: an artifact with semantic/ of the split."""
    if size_known:
        ccnn = ccnn.model_copy(update={"sizes": ccnn.sizes_known})
    return train_and_label(store, train_ccnn, ccnn, pictures=pictures, init=init, data=data, split=split, seed=seed)
