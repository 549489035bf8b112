"""Parameters of the IRN study. Defaults are the paper's settings as the released code has them (methods in its README).

The `faithful` switches show what shaped the published numbers where the code differs from what it says.
"""

from typing import Literal

from pydantic import Field

from weakseg.baselines.affinitynet import AffinityNetParams
from weakseg.baselines.prm import PrmParams
from weakseg.baselines.sdi import SdiParams
from weakseg.baselines.sec import SecParams
from weakseg.data.sets import DataParams
from weakseg.nets import backbones
from weakseg.nets.classifier import ClassifierParams
from weakseg.nets.deeplab import DeeplabParams
from weakseg.nets.mask_rcnn import MaskRcnnParams
from weakseg.ops.cam import CamParams
from weakseg.ops.confident import RelationParams
from weakseg.ops.instances import WalkParams
from weakseg.study.params import Group

Variant = Literal["cam", "boundary", "displacement", "full"]
VARIANTS: tuple[Variant, ...] = ("cam", "boundary", "displacement", "full")


class IrnetParams(Group):
    """IRNet and its training. A loss weight of 0 switches its branch off.

    start: "imagenet" takes `weights`; "classifier" copies the trained tag classifier's backbone.
    train_backbone: the published network is frozen; a backbone trained on tags alone gains from learning along.
    kernel: of the two fusing convolutions of the displacement branch (1 in the paper).
    faithful: momentum 1e-4 instead of `momentum`, and the whole loss halved.
    """

    backbone: backbones.Name = "resnet50"
    weights: str | None = "torchvision"
    output_stride: Literal[8, 16, 32] = 16
    start: Literal["imagenet", "classifier"] = "imagenet"
    train_backbone: bool = False
    boundary_channels: int = Field(32, ge=4, multiple_of=4)
    displacement_channels: tuple[int, int, int] = (64, 128, 256)
    kernel: Literal[1, 3] = 1
    radius: int = Field(10, ge=2)
    boundary_weight: float = Field(1.0, ge=0)
    displacement_weight: float = Field(1.0, ge=0)
    optimiser: Literal["sgd", "adamw"] = "sgd"
    epochs: int = Field(3, ge=1)
    batch_size: int = Field(32, ge=1)
    lr: float = Field(0.1, gt=0)
    backbone_lr_factor: float = Field(1.0, gt=0)
    displacement_lr_factor: float = Field(10.0, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0)
    precision: Literal["fp32", "bf16"] = "fp32"
    scales: tuple[float, float] | None = (0.5, 1.5)
    crop: int = Field(512, ge=16)
    mean_shift: bool = True
    mean_shift_split: str = "train"
    infer_batch_size: int = Field(1, ge=1)
    faithful: bool = False


class LabelsParams(Group):
    """From fields and attention to pseudo labels.

    background: the constant background score; null chooses one from `grid` for every row and metric on the set-aside
    split. cam_background: the same for plain attention in semantic labels (0.15 in the released code).
    weak: displacement norm, in grid cells, below which a cell can be a centroid. iterations: refinement steps.
    smallest: share of the picture below which a component scores 0.
    faithful: cells whose end point lies outside every centroid region form one more instance, as in the released code;
    otherwise they belong to no instance.
    """

    background: float | None = Field(0.25, gt=0, lt=1)
    cam_background: float = Field(0.15, gt=0, lt=1)
    grid: tuple[float, ...] = Field((0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6), min_length=1)
    weak: float = Field(2.5, gt=0)
    iterations: int = Field(300, ge=1)
    smallest: float = Field(0.01, ge=0, lt=1)
    faithful: bool = False


class IrnParams(Group):
    """All groups of params/<profile>/irn.yaml."""

    profile: str
    seeds: tuple[int, ...] = Field(min_length=1)
    data: DataParams
    classifier: ClassifierParams = ClassifierParams()
    cam: CamParams = CamParams()
    relation: RelationParams = RelationParams()
    irnet: IrnetParams = IrnetParams()
    walk: WalkParams = WalkParams()
    labels: LabelsParams = LabelsParams()
    mask_rcnn: MaskRcnnParams
    deeplab: DeeplabParams
    affinitynet: AffinityNetParams
    prm: PrmParams
    sdi: SdiParams
    sec: SecParams


PARAMS = IrnParams
