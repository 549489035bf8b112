"""PRM (Zhou et al., CVPR 2018): peaks of class maps, propagated back to the picture, choose among mask proposals."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from weakseg.nets import backbones
from weakseg.ops.proposals import ProposalParams
from weakseg.study.params import Group


class PrmParams(Group):
    """Defaults: the released settings on ResNet-50 (methods 7.2).

    side: pictures are resized to a square of this side; null takes them as they are. window: of a local maximum.
    peak_threshold: smallest value of a peak at inference. It is a logit (30 on the released net), whose scale belongs to
    one network; with `relative` it is a share of the class map's own maximum, which means the same on any network.
    Retrieval score = inside * mass inside + contour * mass on the contour - background * share of the picture that the
    proposal covers outside the class (the released 1e-5 per pixel at 448 x 448 is 2.0 per picture).
    """

    backbone: backbones.Name = "resnet50"
    weights: str | None = "torchvision"
    frozen_norm: backbones.FrozenNorm | None = None
    output_stride: Literal[8, 16, 32] = 32
    side: int | None = Field(448, ge=32)
    window: int = Field(3, ge=3)
    epochs: int = Field(20, ge=1)
    batch_size: int = Field(16, ge=1)
    lr: float = Field(0.01, gt=0)
    backbone_lr_factor: float = Field(0.01, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0)
    precision: Literal["fp32", "bf16"] = "fp32"
    peak_threshold: float = 30.0
    relative: bool = False
    class_threshold: float = 0.0
    max_peaks: int = Field(30, ge=1)
    proposals: ProposalParams = ProposalParams()
    inside: float = Field(0.8, ge=0)
    contour: float = Field(1.0, ge=0)
    background: float = Field(2.0, ge=0)
    background_level: float = Field(0.95, ge=0)
    nms: float = Field(0.3, gt=0, le=1)
