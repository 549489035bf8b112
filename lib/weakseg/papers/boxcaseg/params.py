"""Parameters of the BoxCaseg study. Defaults are the paper's settings, where it is silent those of its code."""

from pydantic import Field, model_validator

from weakseg.baselines.bbtp import BbtpParams
from weakseg.baselines.boxinst import BoxInstParams
from weakseg.baselines.sdi import SdiParams
from weakseg.data.sets import DataParams
from weakseg.nets.classifier import ClassifierParams
from weakseg.nets.final import Optimisation
from weakseg.nets.mask_rcnn import MaskRcnnParams
from weakseg.papers.boxcaseg.stages import SegmenterParams
from weakseg.study.params import Group


class ProxyParams(Group):
    """merge: the smaller box wins a pixel. drop: agreement up to which a mask teaches nothing; null drops none."""

    merge: bool = True
    drop: float | None = Field(0.95, ge=0, le=1)


class CrowdParams(Group):
    """The second set of the paper, COCO: many boxes, often overlapping, against few salient pictures.

    ratio, crowded, alpha: what its training changes in `segmenter` (the paper: 9:7 at best; the released code: 11:5,
    0.25, 0.6). Table 5 varies the ratio and keeps every box in all its rows.
    training, detector: how the joint network and the Mask R-CNN are optimised there; null: as in `segmenter` and
    `mask_rcnn`.
    """

    data: DataParams
    ratio: tuple[int, int] | None = (11, 5)
    crowded: float = Field(1.0, gt=0, le=1)
    alpha: float = Field(0.6, ge=0, le=1)
    training: Optimisation | None = None
    detector: Optimisation | None = None


class SweepParams(Group):
    """What the tables vary. salient: numbers of salient pictures (table 3, rows 100 to 2500); alphas: table 6; ratios:
    table 5; drops: table 8.

    other_classes: a list in the data root of those pictures of DUTS that show no class of the study (table 3, row
    4701); null where there is none. printed_lr: factor on the segmenter's rate in table 4's row "as printed", whose
    losses are sums: by SGD they need a rate as much smaller as they are larger, AdamW does not feel their scale.
    """

    salient: tuple[int, int, int, int] = (100, 500, 1000, 2500)
    other_classes: str | None = None
    printed_lr: float = Field(1.0, gt=0)
    alphas: tuple[float, ...] = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 1.0)
    ratios: tuple[tuple[int, int], ...] = ((8, 8), (9, 7), (10, 6), (11, 5), (12, 4), (13, 3), (14, 2))
    drops: tuple[float, ...] = (0.0, 0.75, 0.85, 0.9, 0.95)


class BoxCasegParams(Group):
    """All groups of params/<profile>/boxcaseg.yaml. crowd: null where there is no second set; its tables then say so.

    classifier: of tags, what detectors start from where they have no pretrained weights and stand on its backbone.
    """

    profile: str
    seeds: tuple[int, ...] = Field(min_length=1)
    data: DataParams
    crowd: CrowdParams | None = None
    segmenter: SegmenterParams = SegmenterParams()
    proxies: ProxyParams = ProxyParams()
    sweep: SweepParams = SweepParams()
    classifier: ClassifierParams = ClassifierParams()
    mask_rcnn: MaskRcnnParams
    bbtp: BbtpParams = BbtpParams()
    boxinst: BoxInstParams = BoxInstParams()
    sdi: SdiParams = SdiParams()

    @model_validator(mode="after")
    def _lists_are_of_duts(self) -> "BoxCasegParams":
        if self.segmenter.salient != "duts" and (self.segmenter.salient_list or self.sweep.other_classes):
            raise ValueError("segmenter.salient_list, sweep.other_classes: lists are read for duts only; write null")
        return self


PARAMS = BoxCasegParams
