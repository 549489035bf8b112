"""Deep community learning from tags to instances. Every function takes the session (`store` and `params`) and a seed.

A row of an ablation is the same call on a changed session, `s.changed(**rows.TABLE3["Detector"])`. Rows share their
pictures, proposals, classifier and, where params give a prefix, the training of the detector alone; what follows is
joint training, whose gradients reach the shared features from its first step, so rows share nothing of it.
"""

from weakseg.baselines import countseg as counting
from weakseg.baselines import oicr as plain
from weakseg.baselines import prm as peak_response
from weakseg.baselines import wise as peaks_to_masks
from weakseg.data import sets
from weakseg.metrics import judge_detection as judge
from weakseg.nets import classifier as tags
from weakseg.nets.backbones import Name, weights_input
from weakseg.ops import box_proposals, region_swap
from weakseg.ops import detections as on_disk
from weakseg.ops.proposals import propose
from weakseg.papers.community_learning import rows, stages
from weakseg.papers.community_learning.losses import SelectionParams
from weakseg.study.params import Group
from weakseg.study.session import Session
from weakseg.study.stages import Artifact

THRESHOLDS = (0.25, 0.5, 0.75)  # of the instance mAP


def pictures(s: Session) -> Artifact:
    """The pictures of the study."""
    return sets.pictures(s.store, s.params.data)


def _common(s: Session) -> dict:
    return {"pictures": pictures(s), "data": s.params.data}


def _parts(s: Session) -> dict:
    return {"detector": s.params.detector, "img": s.params.img, "seg": s.params.seg}


def classifier(s: Session, seed: int) -> Artifact:
    """A classifier that learns the tags: the start of detectors for which there are no pretrained weights."""
    params = s.params.classifier
    weights = weights_input(params.weights, params.backbone)
    return s.store(tags.train_classifier, weights=weights, classifier=params, seed=seed, **_common(s))


def start(s: Session, seed: int, backbone: Name, weights: str | None) -> Artifact | None:
    """The tag classifier, for a net on the same backbone without pretrained weights, else None."""
    return classifier(s, seed) if backbone == s.params.classifier.backbone and not weights else None


def proposals(s: Session, split: str) -> Artifact:
    """1. Selective-search boxes; covers the pictures of `split`."""
    covering = sets.covering(pictures(s), s.params.data, split)
    return s.store(box_proposals.search_boxes, split=covering, boxes=s.params.boxes, **_common(s))


def recall(s: Session, split: str) -> Artifact:
    """How many objects some proposal reaches: recall.json."""
    return s.store(box_proposals.judge_recall, proposals=proposals(s, split), split=split, **_common(s))


def prefix(s: Session, seed: int) -> Artifact | None:
    """2. The detector alone, without regressor, IMG and IS, where params train it first; else None."""
    training = s.params.training
    if training.prefix is None:
        return None
    alone = s.changed(detector={"regressor": "none"}, img={"on": False}, seg={"on": False})
    return _train(alone, seed, training.model_copy(update={"optimisation": training.prefix, "prefix": None}), None)


def _train(s: Session, seed: int, training: stages.TrainingParams, before: Artifact | None) -> Artifact:
    how = s.params.detector
    first = before is None
    if not s.params.img.on:  # nothing is chosen for it
        training = training.model_copy(update={"selection": SelectionParams()})
    parts = {name: _plain(group) for name, group in _parts(s).items()}
    return s.store(
        stages.train_community,
        proposals=proposals(s, "trainaug"),
        weights=weights_input(how.weights, how.backbone) if first else None,
        init=start(s, seed, how.backbone, how.weights) if first else None,
        prefix=before,
        training=training,
        seed=seed,
        **parts,
        **_common(s),
    )


def _plain(group: Group) -> Group:
    """A part that is off, with its defaults: what it would be does not change the training, nor its key."""
    return group if getattr(group, "on", True) else type(group)(on=False)


def community(s: Session, seed: int) -> Artifact:
    """3. All parts that are on, trained end to end (after the prefix, if there is one)."""
    training = s.params.training.model_copy(update={"prefix": None})
    return _train(s, seed, training, prefix(s, seed))


def _reading(s: Session, seed: int, split: str) -> dict:
    precision = s.params.training.optimisation.precision
    parts = {name: _plain(group) for name, group in _parts(s).items()}
    return {"model": community(s, seed), "split": split, "precision": precision, "test": s.params.test, **parts}


def detections(s: Session, seed: int, split: str = "val") -> Artifact:
    """4. Detected boxes: boxes/<name>.npz."""
    return s.store(stages.detect_objects, proposals=proposals(s, split), **_reading(s, seed, split), **_common(s))


def instances(s: Session, seed: int, split: str = "val") -> Artifact:
    """5. A mask in every detected box, the filled box where there is no IMG: instances/<name>.npz."""
    found = detections(s, seed, split)
    if not s.params.img.on:
        return s.store(on_disk.boxes_as_masks, detections=found, split=split, **_common(s))
    return s.store(stages.make_masks, detections=found, **_reading(s, seed, split), **_common(s))


def instances_at(s: Session, seed: int, threshold: float, split: str) -> Artifact:
    """The masks that another threshold xi would cut out of the same network's maps: instances/<name>.npz."""
    found, reading = detections(s, seed, split), _reading(s, seed, split)
    img = s.params.img.model_copy(update={"threshold": threshold})
    return s.store(stages.make_masks, detections=found, **{**reading, "img": img}, **_common(s))


def post_processed(s: Session, predictions: Artifact, split: str = "val") -> Artifact:
    """6. The same with every mask swapped for the region that overlaps it most."""
    regions = s.store(propose, split=split, proposals=s.params.regions, **_common(s))
    return s.store(region_swap.swap_regions, predictions=predictions, regions=regions, split=split, **_common(s))


# ---------------------------------------------------------------- evaluation


def instance_evidence(s: Session, predictions: Artifact, split: str = "val") -> Artifact:
    """Instance AP at mask IoU 0.25, 0.5 and 0.75."""
    how = {"predictions": predictions, "split": split, "thresholds": THRESHOLDS}
    return s.store(judge.judge_instances_at, **how, **_common(s))


def overlap_evidence(s: Session, predictions: Artifact, split: str = "val") -> Artifact:
    """Average best overlap."""
    return s.store(judge.judge_overlap, predictions=predictions, split=split, **_common(s))


def box_evidence(s: Session, seed: int, split: str = "val") -> Artifact:
    """Detection AP at IoU 0.5."""
    return s.store(judge.judge_boxes, detections=detections(s, seed, split), split=split, **_common(s))


def corloc_evidence(s: Session, seed: int) -> Artifact:
    """CorLoc on the pictures that params name, seen in training."""
    split = s.params.judge.corloc_split
    return s.store(judge.judge_corloc, detections=detections(s, seed, split), split=split, **_common(s))


# ---------------------------------------------------------------- baselines


def _oicr(s: Session, seed: int, refinements: int | None) -> dict:
    """What WSDDN and OICR take; refinements: None as in params."""
    how = s.params.oicr
    if refinements is not None:
        how = how.model_copy(update={"detector": how.detector.model_copy(update={"refinements": refinements})})
    init = start(s, seed, how.detector.backbone, how.detector.weights)
    return {"init": init, "oicr": how, "boxes": s.params.boxes, "seed": seed, **_common(s)}


def detector_alone(s: Session) -> Session:
    """The same run of the detector alone, which is OICR on this study's backbone: the first row of table 3."""
    return s.changed(**rows.TABLE3["Detector"])


def alike(s: Session) -> bool:
    """Whether the params train OICR on the backbone of the study itself, so that `detector_alone` is that OICR."""
    return s.params.oicr.detector.backbone == s.params.detector.backbone


def wsddn(s: Session, seed: int, split: str = "val") -> Artifact:
    """WSDDN, its boxes as masks."""
    return plain.instances(s.store, split=split, **_oicr(s, seed, 0))


def oicr(s: Session, seed: int, split: str = "val") -> Artifact:
    """OICR, its boxes as masks."""
    if alike(s):
        return instances(detector_alone(s), seed, split)
    return plain.instances(s.store, split=split, **_oicr(s, seed, None))


def cut_labels(s: Session, found: Artifact, labels: Artifact, split: str = "val") -> Artifact:
    """Table 5: a label map (semantic/<name>.png of `labels`) cut out by each detected box of `found`."""
    return s.store(on_disk.cut_by_boxes, detections=found, labels=labels, split=split, **_common(s))


def oicr_detections(s: Session, seed: int, split: str = "val") -> Artifact:
    """OICR's boxes, for `cut_labels`."""
    if alike(s):
        return detections(detector_alone(s), seed, split)
    return plain.detections(s.store, split=split, **_oicr(s, seed, None))


def prm(s: Session, seed: int, split: str = "val") -> Artifact:
    """PRM."""
    init = start(s, seed, s.params.prm.backbone, s.params.prm.weights)
    return peak_response.instances(s.store, init=init, prm=s.params.prm, split=split, seed=seed, **_common(s))


def wise_labels(s: Session, seed: int, split: str = "train") -> Artifact:
    """The pseudo labels of WISE, before Mask R-CNN; covers the pictures of `split`."""
    covering = sets.covering(pictures(s), s.params.data, split)
    init = start(s, seed, s.params.prm.backbone, s.params.prm.weights)
    return peaks_to_masks.pseudo_labels(s.store, init=init, prm=s.params.prm, split=covering, seed=seed, **_common(s))


def wise(s: Session, seed: int, split: str = "val") -> Artifact:
    """WISE: PRM's pseudo labels, then Mask R-CNN."""
    prm_params, final = s.params.prm, s.params.mask_rcnn
    return peaks_to_masks.instances(
        s.store,
        init=start(s, seed, prm_params.backbone, prm_params.weights),
        final_init=start(s, seed, final.backbone, final.weights),
        prm=prm_params,
        mask_rcnn=final,
        split=split,
        seed=seed,
        **_common(s),
    )


def countseg(s: Session, seed: int, split: str = "val") -> Artifact:
    """CountSeg, which sees counts beside tags."""
    how = s.params.countseg
    init = start(s, seed, how.prm.backbone, how.prm.weights)
    return counting.instances(s.store, init=init, countseg=how, split=split, seed=seed, **_common(s))
