"""Mask R-CNN, the final instance model of the pseudo-label papers (methods 2.12), from torchvision's building blocks.

One interface for full and weak supervision: `labels=None` trains on the true masks, an artifact of pseudo instances
trains on those, and nothing else differs.
"""
from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from weakseg.data.sets import DataParams
from weakseg.nets.final import Optimisation
from weakseg.study.params import Group
from weakseg.study.stages import Artifact


class MaskRcnnParams(Group):
    """Sizes are pixels of the resized picture. The defaults are the slim form for 128 px pictures."""

    backbone: Literal["tiny", "small", "mobilenet_v2", "resnet50", "resnet101"] = "small"
    weights: str | None = None              # as in nets.backbones.build: a file, "torchvision", or None
    frozen_norm: bool = False               # fixed batch statistics: usual with ImageNet weights and small batches
    short_side: PositiveInt | None = None   # None: pictures as they are
    long_side: PositiveInt = 800            # at most; used only with short_side
    strides: tuple[PositiveInt, ...] = (4, 8, 16)               # pyramid levels, finest first
    pyramid_pool: bool = False              # one more level, the coarsest subsampled, for proposals only
    pyramid_channels: PositiveInt = 64
    anchors: tuple[PositiveInt, ...] = (24, 48, 80)             # side of the anchors, one per level
    anchor_ratios: tuple[PositiveFloat, ...] = (0.5, 1.0, 2.0)  # height : width
    roi_scale: PositiveInt = 112            # RoIs of this side (geometric mean) are read at stride 16
    box_features: PositiveInt = 256
    mask_channels: tuple[PositiveInt, ...] = (64, 64)
    proposals_before_nms: PositiveInt = 200                     # per level
    proposals: PositiveInt = 100            # per picture, after suppression
    proposal_samples: PositiveInt = 64      # anchors per picture in the proposal losses
    roi_samples: PositiveInt = 32           # RoIs per picture in the box losses, a quarter of them with masks
    min_score: float = Field(0.0, ge=0)     # pseudo instances with a lower score are dropped
    min_side: float = Field(4.0, ge=0)      # instances with a shorter box side are dropped
    flip: bool = True
    training: Optimisation = Optimisation(epochs=4)
    nms: float = Field(0.5, gt=0, le=1)     # box IoU above which a detection of the same class is suppressed
    score: float = Field(0.05, ge=0, lt=1)  # detections with a lower score are not kept
    detections: PositiveInt = 20            # per picture
    mask_threshold: float = Field(0.5, gt=0, lt=1)

    @model_validator(mode="after")
    def one_anchor_a_level(self) -> "MaskRcnnParams":
        if len(self.anchors) != len(self.strides) + self.pyramid_pool:
            raise ValueError(f"anchors needs one side per pyramid level: {len(self.strides) + self.pyramid_pool}")
        return self


def train_mask_rcnn(out: Path, *, pictures: Artifact, labels: Artifact | None, init: Artifact | None = None,
                    data: DataParams, mask_rcnn: MaskRcnnParams, split: str = "trainaug", seed: int) -> None:
    """Writes model.safetensors and log.csv."""


def predict_mask_rcnn(out: Path, *, model: Artifact, pictures: Artifact, data: DataParams, split: str,
                      mask_rcnn: MaskRcnnParams) -> None:
    """Writes instances/<name>.npz for every picture of the split."""
