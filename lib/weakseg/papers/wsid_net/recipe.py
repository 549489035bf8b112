"""WSID-Net from tags and counts to salient instances, step by step. Every function takes the session and a seed."""

from weakseg.data import sets
from weakseg.data.salient_instances import derive_counts
from weakseg.metrics import judge_salient
from weakseg.nets import classifier as tags
from weakseg.nets import relations
from weakseg.nets.backbones import weights_input
from weakseg.nets.final import untested
from weakseg.nets.saliency import make_saliency
from weakseg.papers.wsid_net import branches, infer, saliency
from weakseg.study.params import Group
from weakseg.study.session import Session
from weakseg.study.stages import Artifact


def pictures(s: Session) -> Artifact:
    """The pictures of the study."""
    return sets.pictures(s.store, s.params.data)


def _salient(s: Session, split: str) -> dict:
    return {"pictures": pictures(s), "data": s.params.data, "source": s.params.source, "split": split}


def classifier(s: Session, seed: int) -> Artifact:
    """1. A classifier that learns the tags."""
    params = s.params.classifier
    weights = weights_input(params.weights, params.backbone)
    shown = {"pictures": pictures(s), "data": s.params.data}
    return s.store(tags.train_classifier, weights=weights, classifier=params, seed=seed, **shown)


def cams(s: Session, seed: int) -> Artifact:
    """2. Attention of the tagged classes of the training pictures."""
    return s.store(
        tags.make_cams,
        model=classifier(s, seed),
        pictures=pictures(s),
        data=s.params.data,
        split="trainaug",
        classifier=s.params.classifier,
        cam=s.params.cam,
    )


def start(s: Session, seed: int, net: Group) -> Artifact | None:
    """The tag classifier, if `net` has no pretrained weights and stands on the same backbone, else None."""
    alike = net.backbone == s.params.classifier.backbone
    return classifier(s, seed) if alike and not net.weights else None


def pseudo_saliency(s: Session, seed: int) -> Artifact:
    """3. Salient masks of the training pictures: attention, CRF, union of the classes."""
    shown = {"pictures": pictures(s), "data": s.params.data}
    return s.store(saliency.label_saliency, cams=cams(s, seed), pseudo=s.params.pseudo, **shown)


def saliency_net(s: Session, seed: int) -> Artifact:
    """4. The saliency branch, trained on them."""
    params = s.params.saliency
    return s.store(
        saliency.train_saliency,
        pictures=pictures(s),
        labels=pseudo_saliency(s, seed),
        init=start(s, seed, params),
        weights=weights_input(params.weights, params.backbone),
        data=s.params.data,
        saliency=untested(params),
        seed=seed,
    )


def saliency_maps(s: Session, seed: int, split: str) -> Artifact:
    """5. Its saliency of the pictures with salient instances: split "train" (counted), "tune" or "test"."""
    net = s.params.saliency
    return s.store(make_saliency, model=saliency_net(s, seed), saliency=net, **_salient(s, split))


def relation_labels(s: Session, seed: int) -> Artifact:
    """6. Confident areas of the training pictures."""
    return s.store(
        relations.label_relations,
        pictures=pictures(s),
        cams=cams(s, seed),
        data=s.params.data,
        split="trainaug",
        relation=s.params.relation,
    )


def counts(s: Session) -> Artifact:
    """7. How many salient instances the counted pictures have: the second weak label."""
    return s.store(derive_counts, **_salient(s, "train"))


def two_branches(s: Session, seed: int) -> Artifact:
    """8. Boundary and centroid branch, trained on relations and, unless wsid.count is null, on counts."""
    params, counted = s.params.wsid, s.params.wsid.count is not None
    return s.store(
        branches.train_branches,
        pictures=pictures(s),
        relation=relation_labels(s, seed),
        saliency=saliency_maps(s, seed, "train") if counted else None,
        counts=counts(s) if counted else None,
        init=start(s, seed, params) if params.from_tags else None,
        weights=weights_input(params.weights, params.backbone),
        data=s.params.data,
        source=s.params.source,
        wsid=params,
        seed=seed,
    )


def fields(s: Session, seed: int, split: str) -> Artifact:
    """9. Boundary and displacement fields of a split."""
    return s.store(branches.make_branch_fields, model=two_branches(s, seed), wsid=s.params.wsid, **_salient(s, split))


def walked(s: Session, seed: int, split: str, shown: Artifact | None = None) -> Artifact:
    """10. The random walk from the centroids in the salient region; `shown` replaces the predicted saliency."""
    return s.store(
        infer.walk_instances,
        fields=fields(s, seed, split),
        saliency=saliency_maps(s, seed, split) if shown is None else shown,
        walk=s.params.walk,
        instances=_before_background(s),
        **_salient(s, split),
    )


def _before_background(s: Session) -> Group:
    """The parameters of instances without those that act after the walk, so that its key does not hold them."""
    plain = type(s.params.instances)()
    after = {key: getattr(plain, key) for key in ("background", "grid", "smallest")}
    return s.params.instances.model_copy(update=after)


def background(s: Session, seed: int) -> Artifact | None:
    """11. The background score, chosen on the set-aside pictures; None where params fix it."""
    if s.params.instances.background is not None:
        return None
    shown = {"pictures": pictures(s), "data": s.params.data, "source": s.params.source}
    return s.store(infer.choose_background, walked=walked(s, seed, "tune"), instances=s.params.instances, **shown)


def instances(s: Session, seed: int, split: str = "test", shown: Artifact | None = None) -> Artifact:
    """12. Salient instances: instances/<name>.npz. shown: saliency in place of the predicted one (figure 8)."""
    rows, chosen = walked(s, seed, split, shown), background(s, seed)
    return s.store(infer.make_instances, walked=rows, chosen=chosen, instances=s.params.instances, **_salient(s, split))


def true_saliency(s: Session, split: str = "test") -> Artifact:
    """The true salient regions, which repair the failure case of figure 8."""
    return s.store(saliency.true_saliency, **_salient(s, split))


def recall(s: Session, seed: int, split: str = "test") -> dict[str, float]:
    """name -> share of the truly salient cells that the saliency branch finds; its smallest is figure 8's picture."""
    return saliency.saliency_recall(saliency_maps(s, seed, split), **_salient(s, split))


def evidence(s: Session, predictions: Artifact, split: str = "test") -> Artifact:
    """Salient instances against the truth: AP over the whole set."""
    return s.store(judge_salient.judge_salient, predictions=predictions, **_salient(s, split))


def picture_evidence(s: Session, predictions: Artifact, split: str = "test") -> Artifact:
    """The same picture by picture."""
    return s.store(judge_salient.judge_per_picture, predictions=predictions, **_salient(s, split))


def count_evidence(s: Session, predictions: Artifact, split: str = "test") -> Artifact:
    """The number of instances against the true one."""
    return s.store(judge_salient.judge_counts, predictions=predictions, **_salient(s, split))


SWITCHES = {"DA": "attention", "BE": "enhancement", "L_SU": "count"}


def without(s: Session, *parts: str) -> Session:
    """The same run with some of DA, BE and L_SU switched off (table 2); KeyError for another name."""
    return s.changed(wsid={SWITCHES[part]: None for part in parts})
