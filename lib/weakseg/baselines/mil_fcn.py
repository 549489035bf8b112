"""MIL-FCN (Pathak, Shelhamer, Long and Darrell, 2014): the best pixel of each tagged class speaks for it."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from torch import Tensor

from weakseg.baselines.from_tags import fit_on_tags, train_and_label
from weakseg.data.sets import DataParams
from weakseg.nets.deeplab import DeeplabParams
from weakseg.study.params import Group
from weakseg.study.stages import Artifact, Store


class MilFcnParams(Group):
    """net: the segmentation net. side: pictures are resized to a square of this side; null takes them as they are."""

    net: DeeplabParams
    side: int | None = Field(321, ge=32)


def mil_loss(scores: Tensor, allowed: Tensor) -> Tensor:
    """Mean over the pictures of equation 1 of the paper, over its labels L, the background among them:

        - 1 / |L| sum_{l in L} log p_l(i_l),   i_l = argmax_i p_l(i)

    with p the softmax of scores (B, K, h, w). allowed: bool (B, K). Nothing speaks against the absent classes, but that
    they share the softmax.
    """
    best = scores.log_softmax(1).amax((2, 3))
    return -((best * allowed).sum(1) / allowed.sum(1)).mean()


def train_mil_fcn(
    out: Path,
    *,
    pictures: Artifact,
    init: Artifact | None = None,
    weights: Artifact | None = None,
    data: DataParams,
    params: MilFcnParams,
    seed: int,
) -> None:
    """Stage: see from_tags.fit_on_tags."""
    starts = {"init": init, "weights": weights}
    common = {"pictures": pictures, **starts, "data": data, "net": params.net, "side": params.side, "seed": seed}
    fit_on_tags(out, mil_loss, **common, title="MIL-FCN")


def label_maps(
    store: Store,
    *,
    pictures: Artifact,
    init: Artifact | None = None,
    data: DataParams,
    mil_fcn: MilFcnParams,
    split: str,
    seed: int,
) -> Artifact:
    """Training and prediction: an artifact with semantic/ of the split."""
    return train_and_label(
        store, train_mil_fcn, mil_fcn, pictures=pictures, init=init, data=data, split=split, seed=seed
    )
