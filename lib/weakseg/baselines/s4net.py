"""S4Net (Fan et al., CVPR 2019), trained on the full masks of the salient instances: the upper bound of table 1.

Kept: one class, a feature pyramid, ternary RoI masking (+1 in the box, -1 in a ring of a third around it), at most 20
predictions. Simplified: torchvision's two-stage Mask R-CNN with its box head proposes the boxes, where S4Net takes them
straight from a single-stage RPN, and its mask head has no dilated convolution.
"""

from pathlib import Path

from weakseg.baselines.agnostic_masks import fit_agnostic, predict_agnostic
from weakseg.data.salient_instances import Source, open_salient
from weakseg.data.sets import DataParams
from weakseg.nets.backbones import weights_input
from weakseg.nets.final import untested
from weakseg.nets.mask_rcnn import DetectionParams, MaskRcnnParams
from weakseg.study.params import Group
from weakseg.study.stages import Artifact, Store


class S4NetParams(Group):
    """The detector; ring: ternary RoI masking (the paper's ablation switches it off)."""

    mask_rcnn: MaskRcnnParams = MaskRcnnParams(test=DetectionParams(nms=0.4))
    ring: bool = True


def train_s4net(
    out: Path,
    *,
    pictures: Artifact,
    init: Artifact | None = None,
    weights: Artifact | None = None,
    data: DataParams,
    source: Source,
    s4net: S4NetParams,
    seed: int,
) -> None:
    """Stage: trains on the true masks of the split "masked"; writes model.safetensors and log.csv."""
    opened = open_salient(pictures, data, source, "masked")
    how = {"ring": s4net.ring, "init": init, "weights": weights, "seed": seed, "title": "S4Net"}
    fit_agnostic(out, opened.names, opened.image, opened.masks, s4net.mask_rcnn, **how)


def instances(
    store: Store,
    *,
    pictures: Artifact,
    init: Artifact | None,
    data: DataParams,
    source: Source,
    s4net: S4NetParams,
    split: str,
    seed: int,
) -> Artifact:
    """Training and prediction: an artifact with instances/ of the split."""
    shown = {"pictures": pictures, "data": data, "source": source}
    weights = weights_input(s4net.mask_rcnn.weights, s4net.mask_rcnn.backbone)
    learned = s4net.model_copy(update={"mask_rcnn": untested(s4net.mask_rcnn)})
    model = store(train_s4net, init=init, weights=weights, s4net=learned, seed=seed, **shown)
    how = {"mask_rcnn": s4net.mask_rcnn, "ring": s4net.ring}
    return store(predict_agnostic, model=model, split=split, **how, **shown)
