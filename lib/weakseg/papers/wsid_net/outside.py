"""The outside methods of table 1 on this study's pictures. Every function takes the session, a seed and a split."""

from weakseg.baselines import c2s_nldf, deepmask_style, irn_salient, map_boxes, prm_d, s4net
from weakseg.baselines.saliency_filter import keep_salient
from weakseg.papers.wsid_net import infer, recipe
from weakseg.study.params import Group
from weakseg.study.session import Session
from weakseg.study.stages import Artifact


def _shown(s: Session) -> dict:
    return {"pictures": recipe.pictures(s), "data": s.params.data, "source": s.params.source}


def _start(s: Session, seed: int, net: Group) -> dict:
    return {"init": recipe.start(s, seed, net), "seed": seed}


def irn(s: Session, seed: int, split: str = "test") -> Artifact:
    """IRN with the saliency filter. Its fields are those of the two branches without DA, BE and L_SU, which is IRN's
    training; its classes are those that the tag classifier names."""
    made = {"walked": _irn_rows(s, seed, split), "chosen": _irn_background(s, seed), "instances": s.params.instances}
    found = s.store(infer.make_instances, split=split, **made, **_shown(s))
    return s.store(keep_salient, predictions=found, **_filter(s, seed, split))


def _irn_background(s: Session, seed: int) -> Artifact | None:
    """The background score, chosen on the set-aside pictures after the filter, as every method is by its final answer;
    None where params fix it."""
    if s.params.instances.background is not None:
        return None
    judged = {"walked": _irn_rows(s, seed, "tune"), **_filter(s, seed, "tune")}
    return s.store(infer.choose_background, instances=s.params.instances, **judged, **_shown(s))


def _filter(s: Session, seed: int, split: str) -> dict:
    kept = s.params.baselines.saliency_filter
    return {"saliency": recipe.saliency_maps(s, seed, split), "saliency_filter": kept}


def _irn_rows(s: Session, seed: int, split: str) -> Artifact:
    floor, how = recipe.without(s, "DA", "BE", "L_SU"), s.params.baselines.irn
    net = {"model": recipe.classifier(s, seed), "classifier": s.params.classifier, "cam": s.params.cam}
    cams = s.store(irn_salient.make_predicted_cams, split=split, irn=how, **net, **_shown(s))
    fields = recipe.fields(floor, seed, split)
    return s.store(irn_salient.walk_irn, cams=cams, fields=fields, walk=s.params.walk, irn=how)


def s4(s: Session, seed: int, split: str = "test") -> Artifact:
    """S4Net, fully supervised."""
    how = s.params.baselines.s4net
    return s4net.instances(s.store, s4net=how, split=split, **_start(s, seed, how.mask_rcnn), **_shown(s))


def boxes(s: Session, seed: int, split: str = "test") -> Artifact:
    """MAP, with CRF masks."""
    how = s.params.baselines.map_boxes
    return map_boxes.instances(s.store, map_boxes=how, split=split, **_start(s, seed, how), **_shown(s))


def deepmask(s: Session, seed: int, split: str = "test") -> Artifact:
    """DeepMask-style proposals with the saliency filter."""
    how = s.params.baselines.deepmask
    given = {**_filter(s, seed, split), **_start(s, seed, how.mask_rcnn)}
    return deepmask_style.instances(s.store, deepmask=how, split=split, **given, **_shown(s))


def contours(s: Session, seed: int, form: c2s_nldf.Form, split: str = "test") -> Artifact:
    """C2SNet ("c2s") or NLDF ("nldf"): saliency with contours, proposals, MAP selection.

    C2SNet learns from pictures without labels: it does not start from the tag classifier.
    """
    how = s.params.baselines.contours
    given = _start(s, seed, how.net) if form == "nldf" else {"init": None, "seed": seed}
    return c2s_nldf.instances(s.store, form, contours=how, split=split, **given, **_shown(s))


def counting_peaks(s: Session, seed: int, split: str = "test") -> Artifact:
    """PRM+D: peaks with a density that learns counts."""
    how = s.params.baselines.prm_d
    given = {"counts": recipe.counts(s), **_start(s, seed, how)}
    return prm_d.instances(s.store, prm_d=how, split=split, **given, **_shown(s))
