"""Parameters of the WSID-Net study. Defaults are the paper's (section 4.2); what it does not say takes IRN's values.

CRF: w1 = 4 and s_alpha = 49, s_beta = 5 rule the bilateral kernel, w2 = 3 and s_gamma = 3 the smoothing one.
"""

from typing import Literal

from pydantic import Field

from weakseg.baselines.c2s_nldf import ContourParams
from weakseg.baselines.deepmask_style import DeepMaskParams
from weakseg.baselines.irn_salient import IrnSalientParams
from weakseg.baselines.map_boxes import MapParams
from weakseg.baselines.prm_d import PrmDParams
from weakseg.baselines.s4net import S4NetParams
from weakseg.baselines.saliency_filter import FilterParams
from weakseg.data.salient_instances import Source
from weakseg.data.sets import DataParams
from weakseg.nets import backbones
from weakseg.nets.attention import Arrangement
from weakseg.nets.boundary_enhancement import EnhancementParams
from weakseg.nets.classifier import ClassifierParams
from weakseg.nets.deeplab import DeeplabParams
from weakseg.nets.final import Optimisation
from weakseg.ops.cam import CamParams
from weakseg.ops.confident import RelationParams
from weakseg.ops.counts import Surrogate
from weakseg.ops.crf import CrfParams
from weakseg.ops.instances import WalkParams
from weakseg.study.params import Group

BackboneRow = Literal[
    "tiny, from scratch",
    "tiny, from the tag classifier",
    "small, from scratch",
    "small, from the tag classifier",
    "ResNet50, from scratch",
    "ResNet50, from the tag classifier",
    "ResNet101, from scratch",
    "MobileNetV2, ImageNet",
    "ResNet50, ImageNet",
    "ResNet101, ImageNet",
]
# Wide enough that no end is chosen: the best is mostly 0.1 to 0.3 on drawn pictures and 0.4 to 0.65 on photographs.
GRID = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)
PAPER_CRF = CrfParams(bilateral_weight=4.0, bilateral_xy=49.0, bilateral_rgb=5.0, gaussian_weight=3.0, gaussian_xy=3.0)


class AttentionParams(Group):
    """Double attention. shared: the boundary and the centroid branch have one and the same."""

    arrangement: Arrangement = "parallel"
    shared: bool = True
    reduction: int = Field(16, ge=1)


class CountParams(Group):
    """The centroid-based subitizing loss L_SU; which surrogate counts is ours to choose, see ops.counts.

    weight: of L_SU beside the losses of pairs. width: of a centroid in the soft count, in cells. position: weight of
    the cells' places in k-means. most: salient cells of a picture that soft count and k-means look at. salient:
    saliency from which a cell lies in the predicted region S. weak, share, iterations: of the hard count, as in
    InstancesParams. batch_size: counted pictures beside each batch of pairs, at most as many.
    """

    surrogate: Surrogate = "kmeans"
    weight: float = Field(0.3, gt=0)
    width: float = Field(2.0, gt=0)
    position: float = Field(0.5, ge=0)
    most: int = Field(1024, ge=1)
    salient: float = Field(0.5, gt=0, lt=1)
    weak: float = Field(2.5, gt=0)
    share: float = Field(0.05, ge=0, lt=1)
    iterations: int = Field(60, ge=1)
    batch_size: int = Field(6, ge=1)


class WsidParams(Group):
    """Boundary and centroid branch and their training; attention, enhancement or count as null switch a part off.

    Without weights the backbone starts from the tag classifier's, where both are alike and from_tags does not say
    otherwise. width: channels of the branches' hidden maps. boundary_weight, centroid_weight: of the two branches' pair
    losses. mean_shift: the mean displacement of the pictures `train` is taken off, as in IRN.
    """

    backbone: backbones.Name = "resnet50"
    weights: str | None = "torchvision"
    from_tags: bool = True
    output_stride: Literal[8, 16, 32] = 16
    train_backbone: bool = True
    width: int = Field(64, ge=8, multiple_of=8)
    attention: AttentionParams | None = AttentionParams()
    enhancement: EnhancementParams | None = EnhancementParams()
    count: CountParams | None = CountParams()
    radius: int = Field(10, ge=2)
    boundary_weight: float = Field(1.0, ge=0)
    centroid_weight: float = Field(1.0, ge=0)
    training: Optimisation = Optimisation(batch_size=6, epochs=5, lr=0.01, schedule="poly")
    scales: tuple[float, float] | None = (0.5, 1.5)
    crop: int = Field(512, ge=16, multiple_of=4)
    mean_shift: bool = True
    infer_batch_size: int = Field(6, ge=1)


class PseudoSaliencyParams(Group):
    """From attention to salient masks. background: score of the background beside the attention of the classes."""

    background: float = Field(0.25, gt=0, lt=1)
    crf: CrfParams | None = PAPER_CRF


class InstancesParams(Group):
    """From fields and saliency to instances.

    background: what a pixel's walked score must exceed; null chooses it from `grid` by AP50 on the set-aside split.
    salient: saliency from which a cell lies in the salient region. weak: norm of the displacement, in cells, below
    which a cell can be a centroid. share: of the salient cells that must belong to a centroid. iterations: refinement
    steps. smallest: share of the picture below which a part scores 0.
    """

    background: float | None = Field(0.25, gt=0, lt=1)
    grid: tuple[float, ...] = Field(GRID, min_length=1)
    salient: float = Field(0.5, gt=0, lt=1)
    weak: float = Field(2.5, gt=0)
    share: float = Field(0.05, ge=0, lt=1)
    iterations: int = Field(300, ge=1)
    smallest: float = Field(0.01, ge=0, lt=1)


class CountWeights(Group):
    """Weight of L_SU by surrogate, for the table that compares them: their losses have different units."""

    soft: float = Field(0.1, gt=0)
    straight: float = Field(0.1, gt=0)
    kmeans: float = Field(0.3, gt=0)


class BaselinesParams(Group):
    """The outside methods of table 1."""

    saliency_filter: FilterParams = FilterParams()
    irn: IrnSalientParams = IrnSalientParams()
    s4net: S4NetParams = S4NetParams()
    map_boxes: MapParams = MapParams()
    deepmask: DeepMaskParams = DeepMaskParams()
    contours: ContourParams = ContourParams()
    prm_d: PrmDParams = PrmDParams()


class WsidNetParams(Group):
    """All groups of params/<profile>/wsid_net.yaml. source: where counts and the true salient instances come from.
    backbones: the rows of the table of backbones that are run."""

    profile: str
    seeds: tuple[int, ...] = Field(min_length=1)
    data: DataParams
    source: Source = "ilso"
    classifier: ClassifierParams = ClassifierParams()
    cam: CamParams = CamParams()
    relation: RelationParams = RelationParams(crf=PAPER_CRF)
    pseudo: PseudoSaliencyParams = PseudoSaliencyParams()
    saliency: DeeplabParams
    wsid: WsidParams = WsidParams()
    walk: WalkParams = WalkParams()
    instances: InstancesParams = InstancesParams()
    baselines: BaselinesParams = BaselinesParams()
    count_weights: CountWeights = CountWeights()
    backbones: tuple[BackboneRow, ...] = ("ResNet50, ImageNet",)


PARAMS = WsidNetParams
