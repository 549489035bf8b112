"""Parameters of the guided labelling study. Defaults are the paper's settings (methods 6); the nets have none of their
own here, since every profile picks its size."""

from typing import Literal

from pydantic import Field, model_validator

from weakseg.baselines.ccnn import CcnnParams
from weakseg.baselines.mil_fcn import MilFcnParams
from weakseg.baselines.sec import SecParams
from weakseg.baselines.wssl import WsslParams
from weakseg.data.sets import DataParams
from weakseg.nets.classifier import ClassifierParams
from weakseg.nets.deeplab import DeeplabParams
from weakseg.nets.final import Optimisation
from weakseg.papers.guided_labelling.guides import GuideParams
from weakseg.papers.guided_labelling.model import SeederParams
from weakseg.papers.guided_labelling.saliency import SaliencyParams
from weakseg.papers.guided_labelling.seeders import BackpropParams
from weakseg.papers.guided_labelling.segmenter import CrfSets
from weakseg.study.params import Group

TAGGER = SeederParams(
    training=Optimisation(
        steps=30_000,
        batch_size=40,
        lr=1e-3,
        weight_decay=5e-4,
        schedule="steps",
        drops=(1 / 6, 1 / 3, 1 / 2, 2 / 3, 5 / 6),  # every 5,000 steps (appendix F)
    )
)


class GuidedParams(Group):
    """All groups of params/<profile>/guided_labelling.yaml.

    seeder: the GAP classifiers. tagger: the plain one, for G1 and back-propagation. classifier: the one that SEC takes
    its cues from. start: what nets begin with: "weights" their own; "tags", where no pretrained weights exist, the
    classifiers with the backbone of `classifier`, and segmentation nets with that of the GAP-HighRes seeder.
    """

    profile: str
    seeds: tuple[int, ...] = Field(min_length=1)
    data: DataParams
    start: Literal["weights", "tags"] = "weights"
    seeder: SeederParams = SeederParams()
    tagger: SeederParams = TAGGER
    backprop: BackpropParams = BackpropParams()
    saliency: SaliencyParams
    guides: GuideParams = GuideParams()
    crf: CrfSets = CrfSets()
    segmenter: DeeplabParams
    classifier: ClassifierParams = ClassifierParams()
    sec: SecParams
    mil_fcn: MilFcnParams
    ccnn: CcnnParams
    wssl: WsslParams

    @model_validator(mode="after")
    def _one_backbone(self) -> "GuidedParams":
        nets = {"segmenter": self.segmenter, "mil_fcn.net": self.mil_fcn.net, "sec.net": self.sec.net}
        nets |= {"ccnn.net": self.ccnn.net, "wssl.net": self.wssl.net}
        named = {f"{name}.backbone": net.backbone for name, net in nets.items()}
        named |= {"tagger.trunk": self.tagger.trunk, "classifier.backbone": self.classifier.backbone}
        for name, backbone in named.items() if self.start == "tags" else ():
            if backbone != self.seeder.trunk:
                raise ValueError(
                    f"{name}: {backbone} is not the seeder's {self.seeder.trunk}, and with start tags one net begins "
                    "with another's; name one backbone in all, or set start to weights"
                )
        return self


PARAMS = GuidedParams
