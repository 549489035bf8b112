"""WSDDN (Bilen and Vedaldi, CVPR 2016) and OICR (Tang et al., CVPR 2017) alone: detectors that learn from tags.

WSDDN is OICR without refinement branches. Simplified: the last stage of the backbone works on every RoI in place of
the fully connected layers fc6 and fc7; WSDDN's spatial regulariser is left out; RoIs are read by bilinear sampling;
proposals that fall on the same cells are not merged; a long side may pass the 2,000 px at which OICR stops, as it does
at the largest scale for pictures longer than 5:3. The detected boxes, filled, are the instance masks.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import TagView
from weakseg.nets.backbones import weights_input
from weakseg.nets.final import Optimisation, trained
from weakseg.nets.proposal_samples import ProposalSamples, collate_proposals, owners
from weakseg.nets.roi_detector import DetectorParams, RoiDetector, build_detector, detector_losses, start_of
from weakseg.nets.roi_infer import RoiTestParams, detect_all
from weakseg.ops.box_proposals import BoxProposalParams, search_boxes
from weakseg.ops.detections import boxes_as_masks
from weakseg.study import train
from weakseg.study.machine import device
from weakseg.study.params import Group
from weakseg.study.stages import Artifact, Store

OICR_TRAINING = Optimisation(
    steps=70_000, batch_size=2, lr=0.001, weight_decay=5e-4, schedule="steps", drops=(4 / 7,), clip=10.0
)


class OicrParams(Group):
    """Defaults: OICR's released settings on VGG-16, but one rate for all. detector.refinements 0 makes it WSDDN; it has
    no regressor.

    refine_lr, bias_lr: factors on the rate of the refinement branches and of all biases, 10 and 2 in the released code
    (20 for the branches' biases). bias_decay: whether weight decay acts on biases; there it does not.
    """

    detector: DetectorParams = DetectorParams(backbone="vgg16", output_stride=16, regressor="none")
    short_sides: tuple[PositiveInt, ...] | None = (480, 576, 688, 864, 1200)
    flip: bool = True
    training: Optimisation = OICR_TRAINING
    refine_lr: PositiveFloat = 1.0
    bias_lr: PositiveFloat = 1.0
    bias_decay: bool = True
    test: RoiTestParams = Field(RoiTestParams(short_sides=(480, 576, 688, 864, 1200)))

    @model_validator(mode="after")
    def _plain(self) -> OicrParams:
        if self.detector.regressor != "none":
            raise ValueError("detector.regressor: WSDDN and OICR have none; set it to none")
        return self


def oicr_loss(params: DetectorParams, model: RoiDetector, batch: dict) -> dict[str, Tensor]:
    """MIDN's loss plus that of every branch, and "loss", their sum."""
    owner = owners(batch["count"], batch["boxes"])
    read, _ = model(batch["picture"], batch["boxes"], owner)
    terms = detector_losses(params, read, batch["boxes"], owner, batch["tags"])
    return {"loss": sum(terms.values()), **terms}


def oicr_optimiser(model: RoiDetector, oicr: OicrParams) -> torch.optim.Optimizer:
    """All parameters that learn, those of one rate and decay in one group (see OicrParams)."""
    how, groups = oicr.training, {}
    started, refining = ({id(p) for p in part.parameters()} for part in (start_of(model), model.branches))
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            bias = name.endswith("bias")
            lr = how.lr * (how.backbone_lr if id(parameter) in started else 1.0)
            lr *= (oicr.refine_lr if id(parameter) in refining else 1.0) * (oicr.bias_lr if bias else 1.0)
            decay = 0.0 if bias and not oicr.bias_decay else how.weight_decay
            groups.setdefault((lr, decay), []).append(parameter)
    listed = [{"params": of, "lr": lr, "weight_decay": decay} for (lr, decay), of in groups.items()]
    return torch.optim.AdamW(listed) if how.method == "adamw" else torch.optim.SGD(listed, momentum=how.momentum)


def train_oicr(
    out: Path,
    *,
    pictures: Artifact,
    proposals: Artifact,
    weights: Artifact | None = None,
    init: Artifact | None = None,
    data: DataParams,
    oicr: OicrParams,
    seed: int,
) -> None:
    """Stage: trains on the tags of the training pictures; writes model.safetensors and log.csv.

    weights: the file that oicr.detector.weights names. init: a run with the same backbone to start from.
    """
    torch.manual_seed(seed)
    view, how = TagView(open_set(pictures, data, "trainaug")), oicr.detector
    model = build_detector(how, len(view.classes), str(weights.path) if weights else how.weights, init).to(device())
    samples = ProposalSamples(view, proposals, oicr.short_sides, oicr.flip)
    what = model, samples, partial(oicr_loss, how), oicr_optimiser(model, oicr)
    train.fit(*what, out=out, seed=seed, collate=collate_proposals, title="OICR", **oicr.training.for_fit())
    train.save_model(model, out / "model.safetensors")


def predict_oicr(
    out: Path,
    *,
    model: Artifact,
    proposals: Artifact,
    pictures: Artifact,
    data: DataParams,
    oicr: OicrParams,
    split: str,
) -> None:
    """Stage: writes boxes/<name>.npz for every picture of the split; no tag is read."""
    view = TagView(open_set(pictures, data, split))
    net = trained(build_detector(oicr.detector, len(view.classes)), model)
    detect_all(out, net, view, proposals, oicr.test, oicr.training.precision)


def detections(
    store: Store,
    *,
    pictures: Artifact,
    init: Artifact | None,
    data: DataParams,
    oicr: OicrParams,
    boxes: BoxProposalParams,
    split: str,
    seed: int,
) -> Artifact:
    """Proposals, training and prediction: an artifact with boxes/ of the split."""
    common = {"pictures": pictures, "data": data}
    untested = oicr.model_copy(update={"test": RoiTestParams()})
    seen = store(search_boxes, split="trainaug", boxes=boxes, **common)
    weights = weights_input(oicr.detector.weights, oicr.detector.backbone)
    model = store(train_oicr, proposals=seen, weights=weights, init=init, oicr=untested, seed=seed, **common)
    shown = store(search_boxes, split=split, boxes=boxes, **common)
    return store(predict_oicr, model=model, proposals=shown, oicr=oicr, split=split, **common)


def instances(
    store: Store,
    *,
    pictures: Artifact,
    init: Artifact | None,
    data: DataParams,
    oicr: OicrParams,
    boxes: BoxProposalParams,
    split: str,
    seed: int,
) -> Artifact:
    """The same with the boxes filled: an artifact with instances/ of the split."""
    how = {"pictures": pictures, "data": data, "split": split}
    found = detections(store, init=init, oicr=oicr, boxes=boxes, seed=seed, **how)
    return store(boxes_as_masks, detections=found, **how)
