"""From tags to segments with saliency, step by step. Functions take the session (its `store` and `params`), a seed."""

from typing import Literal

from weakseg.baselines import ccnn, mil_fcn, sec, wssl
from weakseg.data import sets
from weakseg.metrics import judge
from weakseg.nets import classifier as cam_classifier
from weakseg.nets import vgg
from weakseg.nets.backbones import weights_input
from weakseg.papers.guided_labelling import guiding, seeders, seeding, segmenter
from weakseg.papers.guided_labelling import saliency as salient
from weakseg.papers.guided_labelling.guiding import GuideName
from weakseg.papers.guided_labelling.model import SeederParams
from weakseg.papers.guided_labelling.seeders import SeederName
from weakseg.study.session import Session
from weakseg.study.stages import Artifact

Baseline = Literal["mil_fcn", "ccnn", "ccnn_size", "wssl", "sec"]
CrfVersion = Literal["v1", "v2"] | None


def pictures(s: Session) -> Artifact:
    """The pictures of the study; the salient ones lie beside them."""
    return sets.pictures(s.store, s.params.data)


def group_of(s: Session, form: vgg.Form) -> SeederParams:
    """The parameters of a classifier: the plain one has its own."""
    return s.params.tagger if form == "vgg16" else s.params.seeder


def cue_classifier(s: Session, seed: int) -> Artifact:
    """0. A plain tag classifier: SEC takes its cues from it and, with start "tags", all forms take their trunk."""
    params = s.params.classifier
    return s.store(
        cam_classifier.train_classifier,
        pictures=pictures(s),
        weights=weights_input(params.weights, params.backbone),
        data=s.params.data,
        classifier=params,
        seed=seed,
    )


def classifier(s: Session, seed: int, form: vgg.Form = "highres") -> Artifact:
    """1. A classifier that learns the tags, in one of five forms."""
    params = group_of(s, form)
    return s.store(
        seeding.train_seeder,
        pictures=pictures(s),
        init=cue_classifier(s, seed) if s.params.start == "tags" else None,
        weights=weights_input(params.weights, params.trunk),
        data=s.params.data,
        form=form,
        seeder=params,
        seed=seed,
    )


def heat(s: Session, seed: int, seeder: SeederName = "gap_highres", split: str = "trainaug") -> Artifact:
    """2. Heat maps of the tagged classes; covers the pictures of `split`."""
    common = {"pictures": pictures(s), "data": s.params.data}
    if seeder == "centre_mean_shape":
        model, params = s.store(seeding.average_masks, **common, split="train"), s.params.seeder
    else:
        model, params = classifier(s, seed, seeders.FORMS[seeder]), group_of(s, seeders.FORMS[seeder])
    smooths = seeder not in (*seeders.GAP, "centre_mean_shape")
    smooth = s.params.backprop if smooths else None
    part = sets.covering(pictures(s), s.params.data, split)
    return s.store(seeding.make_heat, model=model, **common, split=part, name=seeder, seeder=params, backprop=smooth)


def salient_targets(s: Session) -> Artifact:
    """3a. What GrabCut finds in the boxes of the salient pictures, which show other classes."""
    params = s.params.saliency
    return s.store(salient.cut_targets, pictures=pictures(s), source=params.source, iterations=params.iterations)


def saliency_net(s: Session, seed: int) -> Artifact:
    """3b. The net that learns it."""
    params = s.params.saliency
    return s.store(
        salient.train_saliency,
        pictures=pictures(s),
        targets=salient_targets(s),
        weights=weights_input(params.net.weights, params.net.backbone),
        saliency=params,
        seed=seed,
    )


def saliency(s: Session, seed: int, split: str = "trainaug") -> Artifact:
    """3c. Saliency of the study's pictures; covers those of `split`."""
    return s.store(
        salient.find_salient,
        model=saliency_net(s, seed),
        pictures=pictures(s),
        data=s.params.data,
        split=sets.covering(pictures(s), s.params.data, split),
        saliency=s.params.saliency,
    )


def component_scores(s: Session, seed: int) -> Artifact:
    """4. For G1: the plain classifier's scores of every saliency component of the training pictures."""
    return s.store(
        guiding.score_components,
        model=classifier(s, seed, "vgg16"),
        pictures=pictures(s),
        saliency=saliency(s, seed),
        data=s.params.data,
        split="trainaug",
        seeder=s.params.tagger,
        level=s.params.saliency.level,
        smallest=s.params.guides.smallest,
    )


def guides(
    s: Session,
    seed: int,
    rule: GuideName = "g2",
    seeder: SeederName = "gap_highres",
    crf_seed: CrfVersion = None,
    faithful: bool | None = None,
) -> Artifact:
    """5. Guide labels of the training pictures. faithful: instead of the switch in params."""
    needs, guide = guiding.NEEDS[rule], s.params.guides
    if faithful is not None:
        guide = guide.model_copy(update={"faithful": faithful})
    return s.store(
        guiding.make_guides,
        pictures=pictures(s),
        heat=heat(s, seed, seeder) if "heat" in needs else None,
        saliency=saliency(s, seed) if "saliency" in needs else None,
        scores=component_scores(s, seed) if "scores" in needs else None,
        data=s.params.data,
        split="trainaug",
        name=rule,
        guide=guide,
        level=s.params.saliency.level,
        crf_seed=s.params.crf.pick(crf_seed),
        seed=seed if rule == "g0" else 0,
    )


def start(s: Session, seed: int) -> Artifact | None:
    """What segmentation nets begin with: None for their own weights, or the GAP-HighRes classifier."""
    return classifier(s, seed, "highres") if s.params.start == "tags" else None


def segments(
    s: Session,
    seed: int,
    labels: Artifact | None,
    crf_loss: CrfVersion = None,
    crf_postproc: CrfVersion = None,
    split: str = "val",
) -> Artifact:
    """6. The segmenter, trained on guide labels (None: on the true masks), and its predictions."""
    return segmenter.segment(
        s.store,
        pictures=pictures(s),
        labels=labels,
        init=start(s, seed),
        data=s.params.data,
        segmenter=s.params.segmenter,
        crf_loss=s.params.crf.on_grid(crf_loss),
        crf_postproc=s.params.crf.pick(crf_postproc),
        split=split,
        seed=seed,
    )


def baseline(s: Session, seed: int, name: Baseline, split: str = "val") -> Artifact:
    """Label maps of an outside method of table 3."""
    common = {"pictures": pictures(s), "data": s.params.data, "split": split, "seed": seed}
    if name == "sec":
        return _sec(s, seed, common)
    common["init"] = start(s, seed)
    if name == "mil_fcn":
        return mil_fcn.label_maps(s.store, **common, mil_fcn=s.params.mil_fcn)
    if name == "wssl":
        return wssl.label_maps(s.store, **common, wssl=s.params.wssl)
    return ccnn.label_maps(s.store, **common, ccnn=s.params.ccnn, size_known=name == "ccnn_size")


def _sec(s: Session, seed: int, common: dict) -> Artifact:
    model = cue_classifier(s, seed)
    init = model if s.params.start == "tags" else None
    return sec.label_maps(s.store, **common, model=model, classifier=s.params.classifier, init=init, sec=s.params.sec)


# ---------------------------------------------------------------- evaluation


def tag_evidence(s: Session, seed: int, form: vgg.Form, split: str = "val") -> Artifact:
    """How well a classifier tags pictures (mAP)."""
    model, params = classifier(s, seed, form), group_of(s, form)
    common = {"pictures": pictures(s), "data": s.params.data, "split": split}
    return s.store(seeding.score_tags, model=model, **common, form=form, seeder=params)


def seed_evidence(s: Session, seed: int, seeder: SeederName, split: str = "val") -> Artifact:
    """How good a seeder's seeds are (mP, the curves of figure 3)."""
    maps = heat(s, seed, seeder, split)
    return s.store(seeding.judge_seeds, heat=maps, pictures=pictures(s), data=s.params.data, split=split)


def guide_evidence(s: Session, labels: Artifact, split: str = "train") -> Artifact:
    """Precision and recall of guide labels, on those training pictures whose masks are drawn finely."""
    return s.store(guiding.judge_guides, labels=labels, pictures=pictures(s), data=s.params.data, split=split)


def semantic_evidence(s: Session, predictions: Artifact, split: str = "val") -> Artifact:
    """Label maps against the truth of a split (mIoU)."""
    common = {"pictures": pictures(s), "data": s.params.data, "split": split}
    return s.store(judge.judge_semantic, predictions=predictions, **common)
