"""DeepMask-style proposals (Pinheiro et al., NIPS 2015) with the saliency filter of WSID-Net's table 1.

Kept: masks without class, each with a score of being an object, learned from boxes of objects. Simplified: the network
is a Mask R-CNN of one class in place of a sliding window; the masks that it learns are cut out of the given boxes by
GrabCut and region grouping (SDI), where DeepMask had true masks of COCO - table 1 calls its labels boxes.
"""

from functools import partial
from pathlib import Path

import numpy as np

from weakseg.baselines.agnostic_masks import fit_agnostic, predict_agnostic
from weakseg.baselines.saliency_filter import FilterParams, keep_salient
from weakseg.baselines.sdi import SdiParams, pseudo_labels
from weakseg.data.salient_instances import Source
from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import TagView
from weakseg.nets.backbones import weights_input
from weakseg.nets.final import untested
from weakseg.nets.mask_rcnn import DetectionParams, MaskRcnnParams
from weakseg.study.artifacts import load_instances
from weakseg.study.params import Group
from weakseg.study.stages import Artifact, Store


class DeepMaskParams(Group):
    """The masks cut out of boxes, and the network that learns them; overlapping proposals stay, hence the wide NMS."""

    sdi: SdiParams = SdiParams()
    mask_rcnn: MaskRcnnParams = MaskRcnnParams(test=DetectionParams(nms=0.7))


def train_deepmask(
    out: Path,
    *,
    pictures: Artifact,
    labels: Artifact,
    init: Artifact | None = None,
    weights: Artifact | None = None,
    data: DataParams,
    mask_rcnn: MaskRcnnParams,
    seed: int,
) -> None:
    """Stage: trains on labels/instances of the training pictures, classes put aside."""
    view = TagView(open_set(pictures, data, "trainaug"))
    masks = partial(_masks_of, labels, view.names)
    how = {"ring": False, "init": init, "weights": weights, "seed": seed, "title": "DeepMask-style"}
    fit_agnostic(out, view.names, view.image, masks, mask_rcnn, **how)


def _masks_of(labels: Artifact, names: tuple[str, ...], index: int) -> np.ndarray:
    return load_instances(labels / "instances", names[index])[0]


def instances(
    store: Store,
    *,
    pictures: Artifact,
    saliency: Artifact,
    init: Artifact | None,
    data: DataParams,
    source: Source,
    deepmask: DeepMaskParams,
    saliency_filter: FilterParams,
    split: str,
    seed: int,
) -> Artifact:
    """Training, proposals and filter: an artifact with instances/ of the split, of which `saliency` has every map."""
    net, shown = deepmask.mask_rcnn, {"pictures": pictures, "data": data}
    labels, weights = pseudo_labels(store, sdi=deepmask.sdi, **shown), weights_input(net.weights, net.backbone)
    learn = {"labels": labels, "init": init, "weights": weights, "mask_rcnn": untested(net), "seed": seed}
    model = store(train_deepmask, **learn, **shown)
    found = store(predict_agnostic, model=model, source=source, split=split, mask_rcnn=net, ring=False, **shown)
    return store(keep_salient, predictions=found, saliency=saliency, saliency_filter=saliency_filter)
