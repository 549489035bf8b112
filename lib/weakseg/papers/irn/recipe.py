"""IRN from tags to instances, step by step. Every function takes the session (its `store` and `params`) and a seed."""

from weakseg.baselines import affinity_labels
from weakseg.baselines import affinitynet as baseline
from weakseg.data import sets
from weakseg.metrics import judge
from weakseg.nets import classifier as tags
from weakseg.nets import deeplab, mask_rcnn, relations
from weakseg.nets.backbones import weights_input
from weakseg.papers.irn import labels as pseudo
from weakseg.papers.irn import stages
from weakseg.papers.irn.params import Variant
from weakseg.study.params import Group
from weakseg.study.session import Session
from weakseg.study.stages import Artifact


def pictures(s: Session) -> Artifact:
    """The pictures of the study."""
    return sets.pictures(s.store, s.params.data)


def classifier(s: Session, seed: int) -> Artifact:
    """1. A classifier that learns the tags."""
    params = s.params.classifier
    weights = weights_input(params.weights, params.backbone)
    return s.store(
        tags.train_classifier,
        pictures=pictures(s),
        weights=weights,
        data=s.params.data,
        classifier=params,
        seed=seed,
    )


def cams(s: Session, seed: int, split: str = "trainaug") -> Artifact:
    """2. Attention of the tagged classes; covers the pictures of `split`."""
    return s.store(
        tags.make_cams,
        model=classifier(s, seed),
        pictures=pictures(s),
        data=s.params.data,
        split=sets.covering(pictures(s), s.params.data, split),
        classifier=s.params.classifier,
        cam=s.params.cam,
    )


def relation_labels(s: Session, seed: int) -> Artifact:
    """3. Confident areas of the training pictures."""
    return s.store(
        relations.label_relations,
        pictures=pictures(s),
        cams=cams(s, seed),
        data=s.params.data,
        split="trainaug",
        relation=s.params.relation,
    )


def irnet(s: Session, seed: int) -> Artifact:
    """4. IRNet, trained on relations of the confident areas."""
    params = s.params.irnet
    from_tags = params.start == "classifier"
    return s.store(
        stages.train_irnet,
        pictures=pictures(s),
        relation=relation_labels(s, seed),
        classifier=classifier(s, seed) if from_tags else None,
        weights=None if from_tags else weights_input(params.weights, params.backbone),
        data=s.params.data,
        irnet=params,
        seed=seed,
    )


def fields(s: Session, seed: int, split: str = "trainaug") -> Artifact:
    """5. Boundary and displacement fields; covers the pictures of `split`."""
    return s.store(
        stages.make_fields,
        model=irnet(s, seed),
        pictures=pictures(s),
        data=s.params.data,
        split=sets.covering(pictures(s), s.params.data, split),
        irnet=s.params.irnet,
    )


def backgrounds(s: Session, seed: int, variant: Variant) -> Artifact | None:
    """6. The background scores of a row, chosen on the set-aside pictures; None where params fix them."""
    return None if s.params.labels.background is not None else by_background(s, seed, variant, "tune")


def by_background(s: Session, seed: int, variant: Variant, split: str) -> Artifact:
    """chosen.json: the labels of a row judged at every background score of the grid."""
    return s.store(pseudo.choose_backgrounds, split=split, **_sources(s, seed, split, variant))


def _sources(s: Session, seed: int, split: str, variant: Variant) -> dict:
    return {
        "pictures": pictures(s),
        "cams": cams(s, seed, split),
        "fields": None if variant == "cam" else fields(s, seed, split),
        "data": s.params.data,
        "walk": s.params.walk,
        "labels": s.params.labels,
        "variant": variant,
    }


def pseudo_labels(s: Session, seed: int, split: str = "train", variant: Variant = "full") -> Artifact:
    """7. Pseudo labels: instances/<name>.npz and semantic/<name>.png. variant: see papers.irn.labels.full_scores."""
    sources = _sources(s, seed, split, variant)
    return s.store(pseudo.make_labels, split=split, chosen=backgrounds(s, seed, variant), **sources)


def start(s: Session, seed: int, net: Group) -> Artifact | None:
    """The tag classifier, if `net` has no pretrained weights and stands on the same backbone, else None."""
    alike = net.backbone == s.params.classifier.backbone
    return classifier(s, seed) if alike and not net.weights else None


def final_instances(s: Session, seed: int, labels: Artifact | None, split: str = "val") -> Artifact:
    """8. Mask R-CNN trained on pseudo instances (None: on the true ones) and its predictions."""
    return mask_rcnn.final_instances(
        s.store,
        pictures=pictures(s),
        labels=labels,
        data=s.params.data,
        mask_rcnn=s.params.mask_rcnn,
        init=start(s, seed, s.params.mask_rcnn),
        split=split,
        seed=seed,
    )


def final_semantic(s: Session, seed: int, labels: Artifact | None, split: str = "val") -> Artifact:
    """9. DeepLab trained on pseudo label maps (None: on the true ones) and its predictions."""
    return deeplab.final_semantic(
        s.store,
        pictures=pictures(s),
        labels=labels,
        data=s.params.data,
        deeplab=s.params.deeplab,
        init=start(s, seed, s.params.deeplab),
        split=split,
        seed=seed,
    )


def tag_evidence(s: Session, seed: int, split: str = "val") -> Artifact:
    """How well the classifier tags pictures."""
    return s.store(
        tags.score_tags,
        model=classifier(s, seed),
        pictures=pictures(s),
        data=s.params.data,
        split=split,
        classifier=s.params.classifier,
    )


def instance_evidence(s: Session, predictions: Artifact, split: str) -> Artifact:
    """Instances against the truth of a split."""
    return s.store(
        judge.judge_instances, predictions=predictions, pictures=pictures(s), data=s.params.data, split=split
    )


def semantic_evidence(s: Session, predictions: Artifact, split: str) -> Artifact:
    """Label maps against the truth of a split."""
    return s.store(judge.judge_semantic, predictions=predictions, pictures=pictures(s), data=s.params.data, split=split)


def affinitynet(s: Session, seed: int) -> Artifact:
    """The outside baseline of table 2: AffinityNet, trained from the same attention."""
    params = s.params.affinitynet
    from_tags = params.start == "classifier"
    common = {"pictures": pictures(s), "data": s.params.data, "affinitynet": params}
    return s.store(
        baseline.train_affinitynet,
        labels=s.store(baseline.label_confident, cams=cams(s, seed), **common),
        classifier=classifier(s, seed) if from_tags else None,
        weights=None if from_tags else weights_input(params.weights, params.backbone),
        seed=seed,
        **common,
    )


def affinitynet_labels(s: Session, seed: int, split: str = "train") -> Artifact:
    """Label maps by AffinityNet: semantic/<name>.png."""
    params = s.params.affinitynet
    common = {"pictures": pictures(s), "data": s.params.data, "affinitynet": params}
    chosen = None
    if len(params.alphas) > 1:
        chosen = s.store(affinity_labels.choose_alpha, split="tune", **_affinity_sources(s, seed, "tune"), **common)
    sources = _affinity_sources(s, seed, split)
    return s.store(affinity_labels.make_affinity_labels, split=split, chosen=chosen, **sources, **common)


def _affinity_sources(s: Session, seed: int, split: str) -> dict[str, Artifact]:
    model, params = affinitynet(s, seed), s.params.affinitynet
    common = {"pictures": pictures(s), "data": s.params.data, "affinitynet": params}
    pairs = s.store(affinity_labels.make_affinities, model=model, split=split, **common)
    return {"cams": cams(s, seed, split), "pairs": pairs}
