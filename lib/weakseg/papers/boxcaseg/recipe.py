"""BoxCaseg from boxes to instances, step by step. Functions take the session (its `store` and `params`) and a seed."""

from dataclasses import replace
from typing import Any, Literal

from weakseg.baselines import bbtp, boxinst, sdi
from weakseg.baselines.from_boxes import train_and_detect
from weakseg.data import sets
from weakseg.data.weak import BoxView, SalientView
from weakseg.nets import classifier as tags
from weakseg.nets import mask_rcnn
from weakseg.nets.backbones import find_weights, weights_input
from weakseg.nets.final import untested
from weakseg.papers.boxcaseg import detector, stages
from weakseg.papers.boxcaseg.boxes import PictureBoxes, usable_boxes
from weakseg.papers.boxcaseg.infer import HeadName
from weakseg.study.session import Session
from weakseg.study.stages import Artifact, external

Baseline = Literal["bbtp", "bbtp_crf", "boxinst", "sdi"]
NESTED = ("samples", "sampling", "loss")


def pictures(s: Session) -> Artifact:
    """The pictures of the study; the salient ones lie beside them."""
    return sets.pictures(s.store, s.params.data)


def boxes_of(s: Session, split: str = "trainaug") -> list[PictureBoxes]:
    """The boxes that the method learns from, picture by picture."""
    return usable_boxes(BoxView(sets.open_set(pictures(s), s.params.data, split)), split)


def salient_of(s: Session, seed: int) -> SalientView:
    """The salient pictures that the method learns from."""
    return stages.salient_pictures(pictures(s).path, s.params.segmenter, seed)


def variant(s: Session, **changes: Any) -> Session:
    """The same run with some of the segmenter's parameters changed: variant(s, n_salient=8, loss={"alpha": 0.5})."""
    group = s.params.segmenter
    given = {
        name: {**dict(getattr(group, name)), **value} if name in NESTED else value for name, value in changes.items()
    }
    return s.changed(segmenter=given)


def crowd(s: Session) -> Session:
    """The same run on the second set, with what it changes in the training. ValueError where there is none."""
    how = s.params.crowd
    if how is None:
        raise ValueError("crowd: this run has no second set; give the group `crowd` in the params file")
    changes = {"sampling": {"ratio": how.ratio, "crowded": how.crowded}, "loss": {"alpha": how.alpha}}
    if how.training:
        changes["training"] = how.training
    there = replace(s, params=s.params.model_copy(update={"data": how.data}))
    if how.detector:
        there = there.changed(mask_rcnn={"training": how.detector})
    return variant(there, **changes)


def judged(s: Session) -> str:
    """The split on which a set is judged; of photographs, only some have instance masks."""
    return "val_instances" if s.params.data.layout == "voc" else "val"


def segmenter(s: Session, seed: int) -> Artifact:
    """1. The joint network, trained on boxes and salient pictures."""
    params = s.params.segmenter
    path = find_weights(params.weights, params.backbone) if params.weights else None
    if params.weights and path is None:
        raise FileNotFoundError(
            f"segmenter.weights: {params.weights} was not found; set WEAKSEG_WEIGHTS to the folder that holds it"
        )
    weights = external(path) if path else None
    common = {"pictures": pictures(s), "weights": weights, "data": s.params.data}
    trained = params.model_copy(update={"infer_batch_size": 1})
    return s.store(stages.train_segmenter, **common, segmenter=trained, seed=seed)


def proxies(
    s: Session, seed: int, split: str = "trainaug", head: HeadName = "fused", alpha: float | None = None
) -> Artifact:
    """2. A mask for every box of a split. head: what reads the crop; alpha: of the fused map, None as in training."""
    alpha = None if alpha == s.params.segmenter.loss.alpha else alpha
    common = {"model": segmenter(s, seed), "pictures": pictures(s), "data": s.params.data}
    return s.store(stages.make_proxies, **common, split=split, segmenter=s.params.segmenter, head=head, alpha=alpha)


def finished(s: Session, seed: int, split: str = "trainaug") -> Artifact:
    """3. The masks, merged where `proxies.merge` says so, with their agreement with their boxes."""
    common = {"pictures": pictures(s), "data": s.params.data, "split": split}
    return s.store(stages.finish_proxies, proxies=proxies(s, seed, split), **common, merge=s.params.proxies.merge)


def start(s: Session, seed: int) -> Artifact | None:
    """What detectors start from: a classifier of the tags that boxes hold, if it has their backbone, else nothing."""
    net, params = s.params.mask_rcnn, s.params.classifier
    if net.weights or net.backbone != params.backbone:
        return None
    weights = weights_input(params.weights, params.backbone)
    given = {"pictures": pictures(s), "weights": weights, "data": s.params.data}
    return s.store(tags.train_classifier, **given, classifier=params, seed=seed)


def final_instances(s: Session, seed: int, split: str = "val") -> Artifact:
    """4. The proxy Mask R-CNN and its predictions."""
    net, common = s.params.mask_rcnn, {"pictures": pictures(s), "data": s.params.data}
    weights, init = weights_input(net.weights, net.backbone), start(s, seed)
    made = {"proxies": finished(s, seed), "drop": s.params.proxies.drop}
    model = s.store(
        detector.train_proxy_rcnn, **common, **made, init=init, weights=weights, mask_rcnn=untested(net), seed=seed
    )
    return s.store(mask_rcnn.predict_mask_rcnn, **common, model=model, split=split, mask_rcnn=net)


def supervised(s: Session, seed: int, labels: Artifact | None = None, split: str = "val") -> Artifact:
    """The same detector by torchvision's own loss: on the masks of `labels`, or on the true ones (the upper bound)."""
    given = {"pictures": pictures(s), "labels": labels, "init": start(s, seed), "data": s.params.data, "seed": seed}
    return mask_rcnn.final_instances(s.store, **given, mask_rcnn=s.params.mask_rcnn, split=split)


def baseline(s: Session, seed: int, name: Baseline, split: str = "val") -> Artifact:
    """Predictions of an outside method that learns from boxes; bbtp_crf: of the same BBTP with its CRF behind."""
    common = {"pictures": pictures(s), "data": s.params.data}
    if name == "sdi":
        return supervised(s, seed, sdi.pseudo_labels(s.store, **common, sdi=s.params.sdi), split)
    given = {**common, "init": start(s, seed), "split": split, "seed": seed}
    if name == "bbtp":
        return train_and_detect(s.store, bbtp.train_bbtp, s.params.mask_rcnn, **given)
    if name == "bbtp_crf":
        return bbtp.refined_instances(s.store, s.params.mask_rcnn, s.params.bbtp, **given)
    return train_and_detect(s.store, boxinst.train_boxinst, s.params.mask_rcnn, **given, boxinst=s.params.boxinst)


def proxy_evidence(s: Session, made: Artifact, split: str) -> Artifact:
    """Proxy masks against the true instances of their boxes."""
    common = {"pictures": pictures(s), "data": s.params.data, "split": split}
    return s.store(stages.judge_proxies, proxies=made, **common)


def detection_evidence(s: Session, predictions: Artifact, split: str = "val") -> Artifact:
    """Predicted instances against the truth: evidence.npz (VOC) and coco.json."""
    common = {"pictures": pictures(s), "data": s.params.data, "split": split}
    return s.store(detector.judge_detections, predictions=predictions, **common)
