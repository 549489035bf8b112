"""AffinityNet (Ahn and Kwak 2018, PSA): affinities from embedding distances, the outside baseline of IRN table 2."""

from typing import Literal

from pydantic import Field

from weakseg.nets import backbones
from weakseg.ops.crf import CrfParams
from weakseg.study.params import Group


class AffinityNetParams(Group):
    """Defaults: the released settings (alpha 4 and 32 with CRF for the labels, 16 at inference; radius 5; beta 8).

    start, train_backbone, crop, scales: as for IRNet, so that the two differ by method only.
    """

    backbone: backbones.Name = "resnet50"
    weights: str | None = "torchvision"
    output_stride: Literal[8, 16, 32] = 8
    start: Literal["imagenet", "classifier"] = "classifier"
    train_backbone: bool = True
    low_alpha: float = Field(4.0, gt=0)
    high_alpha: float = Field(32.0, gt=0)
    alpha: float = Field(16.0, gt=0)
    crf: CrfParams | None = CrfParams(bilateral_xy=80.0, bilateral_rgb=13.0)
    embedding: tuple[int, int, int] = (64, 128, 256)
    grid: int = Field(8, ge=1)
    radius: int = Field(5, ge=2)
    optimiser: Literal["sgd", "adamw"] = "sgd"
    epochs: int = Field(8, ge=1)
    batch_size: int = Field(8, ge=1)
    lr: float = Field(0.1, gt=0)
    head_lr_factor: float = Field(10.0, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    precision: Literal["fp32", "bf16"] = "fp32"
    scales: tuple[float, float] | None = (0.5, 1.5)
    crop: int = Field(448, ge=16)
    beta: float = Field(8.0, gt=0)
    steps: int = Field(256, ge=0)
    infer_batch_size: int = Field(1, ge=1)
