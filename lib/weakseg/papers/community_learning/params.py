"""Parameters of the deep community learning study. Defaults are the paper's where it gives them (methods 4)."""

from pydantic import Field, model_validator

from weakseg.baselines.countseg import CountSegParams
from weakseg.baselines.oicr import OicrParams
from weakseg.baselines.prm import PrmParams
from weakseg.data.sets import DataParams
from weakseg.nets.classifier import ClassifierParams
from weakseg.nets.mask_rcnn import MaskRcnnParams
from weakseg.nets.roi_detector import DetectorParams
from weakseg.nets.roi_infer import RoiTestParams
from weakseg.ops.box_proposals import BoxProposalParams
from weakseg.ops.proposals import ProposalParams
from weakseg.papers.community_learning.img import ImgParams
from weakseg.papers.community_learning.model import SegParams
from weakseg.papers.community_learning.stages import TrainingParams
from weakseg.study.params import Group


class JudgeParams(Group):
    """corloc_split: where CorLoc is measured, trainaug in the paper; a part of it costs less."""

    corloc_split: str = "trainaug"


class CommunityParams(Group):
    """All groups of params/<profile>/community_learning.yaml.

    classifier: a tag classifier, from which detectors without pretrained weights start. boxes: proposals of the
    detectors. regions: mask proposals of the post-processing.
    """

    profile: str
    seeds: tuple[int, ...] = Field(min_length=1)
    data: DataParams
    classifier: ClassifierParams = ClassifierParams()
    boxes: BoxProposalParams = BoxProposalParams()
    regions: ProposalParams = ProposalParams()
    detector: DetectorParams = DetectorParams()
    img: ImgParams = ImgParams()
    seg: SegParams = SegParams()
    training: TrainingParams = TrainingParams()
    test: RoiTestParams = RoiTestParams()
    judge: JudgeParams = JudgeParams()
    oicr: OicrParams = OicrParams()
    prm: PrmParams = PrmParams()
    countseg: CountSegParams = CountSegParams()
    mask_rcnn: MaskRcnnParams = MaskRcnnParams()

    @model_validator(mode="after")
    def _parts(self) -> "CommunityParams":
        if self.seg.on and not self.img.on:
            raise ValueError("seg.on: instance segmentation learns from the masks of img; set img.on to true too")
        return self


PARAMS = CommunityParams
