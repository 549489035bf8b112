"""From tags to judged instances on a dozen drawn pictures: all of it runs, rows share what they may, masks are shut."""

import json

import numpy as np
import pytest

from weakseg.data.sets import open_set
from weakseg.data.voc import VocSet
from weakseg.metrics import resample
from weakseg.nets.mask_rcnn import DetectionParams
from weakseg.ops.detections import load_detected
from weakseg.papers.community_learning import recipe, rows, stages
from weakseg.papers.community_learning.losses import SelectionParams
from weakseg.papers.community_learning.params import CommunityParams
from weakseg.study import places
from weakseg.study.artifacts import load_instances, save_labels
from weakseg.study.params import load
from weakseg.study.session import Session, params_model
from weakseg.study.stages import Store, external

ONCE = {"epochs": 1, "batch_size": 4}
TINY = {"backbone": "tiny", "weights": None}
TEST = {"short_sides": None, "flip": True, "detections": 4}
DETECTOR = {**TINY, "cut_after": 0, "output_stride": 8, "pool": 3, "refinements": 2}
PRM = {**TINY, **ONCE, "side": None, "output_stride": 8, "proposals": {"scales": [100], "smallest": 10}}
PRM |= {"retrieval": {"relative": True, "peak_threshold": 0.5, "class_threshold": -99.0, "max_peaks": 2}}
PARAMS = {
    "profile": "toy",
    "seeds": [0],
    "classifier": {**TINY, **ONCE, "cut_after": 0, "long_side": None, "crop": None, "output_stride": 8},
    "boxes": {"mode": "single", "smallest": 8, "limit": 8},
    "regions": {"scales": [100], "smallest": 10},
    "detector": DETECTOR,
    "img": {"size": 4, "channels": 8, "sigma": 2.0},
    "seg": {"channels": [8]},
    "training": {
        "short_sides": None,
        "prefix": {**ONCE, "lr": 0.01},
        "optimisation": {**ONCE, "lr": 0.01},
        "selection": {"foreground": 2, "background": 2},
    },
    "test": TEST,
    "judge": {"corloc_split": "train"},
    "oicr": {"detector": {**DETECTOR, "regressor": "none"}, "short_sides": None, "training": ONCE, "test": TEST},
    "prm": PRM,
    "countseg": {"prm": PRM},
    "mask_rcnn": {**TINY, "strides": [4, 8], "anchors": [16, 32], "training": ONCE},
}


@pytest.fixture(scope="module")
def session(drawn, tmp_path_factory) -> Session:
    store, _, data = drawn
    params = CommunityParams.model_validate({**PARAMS, "data": data})
    return Session("community_learning", params, store, tmp_path_factory.mktemp("community"))


def values(artifact, *columns: str) -> list[float]:
    evidence = resample.load(artifact / "evidence.npz")
    return [resample.value(evidence, column) for column in columns]


def trained(store: Store) -> set[str]:
    return {file.parent.name for file in store.root.glob("stages.train_community/*/record.json")}


def test_the_whole_method_is_judged(session):
    found = recipe.instances(session, 0)
    ap = values(recipe.instance_evidence(session, found), "AP25", "AP50", "AP75")
    assert ap == sorted(ap, reverse=True)
    better = recipe.post_processed(session, found)
    for artifact in (found, better):
        assert 0 <= values(recipe.overlap_evidence(session, artifact), "ABO")[0] <= 100
    assert 0 <= values(recipe.box_evidence(session, 0), "AP50")[0] <= 100
    assert 0 <= values(recipe.corloc_evidence(session, 0), "CorLoc")[0] <= 100
    recall = json.loads((recipe.recall(session, "val") / "recall.json").read_text())
    assert recall["recall50"] >= recall["recall70"] and recall["mean"] <= 8
    name = open_set(recipe.pictures(session), session.params.data, "val").names[0]
    masks, labels, scores = load_instances(found / "instances", name)
    assert len(masks) == len(labels) and len(masks) <= 4 and (np.diff(scores) <= 1e-6).all()
    won = json.loads((recipe.community(session, 0) / "won.json").read_text())
    assert sum(facts["tagged"] for facts in won.values()) > 0
    assert all(0 <= facts["won"] <= facts["tagged"] for facts in won.values())
    log = (recipe.community(session, 0) / "log.csv").read_text().splitlines()[0].split(",")
    assert {"loss", "cls", "refine", "reg", "img", "seg", "won"} <= set(log)


def test_rows_share_the_detector_alone(session):
    recipe.community(session, 0)
    before = trained(session.store)
    row = session.changed(**rows.TABLE3["Detector + IMG"])
    assert recipe.prefix(row, 0) == recipe.prefix(session, 0)
    recipe.community(row, 0)
    assert len(trained(session.store) - before) == 1


def test_the_detector_row_has_filled_boxes_and_ignores_settings_of_parts_that_are_off(session):
    row = session.changed(**rows.TABLE3["Detector"])
    found = recipe.instances(row, 0)
    name = open_set(recipe.pictures(row), row.params.data, "val").names[0]
    masks, _, _ = load_instances(found / "instances", name)
    assert all(mask[np.ix_(mask.any(1), mask.any(0))].all() for mask in masks)
    other = row.changed(img={"on": False, "channels": 16}, training={"selection": SelectionParams(apart=0.2)})
    assert recipe.community(other, 0) == recipe.community(row, 0)


@pytest.mark.parametrize("table", [rows.TABLE3, rows.TABLE4, rows.TABLE6, rows.TABLE7])
def test_every_row_of_a_table_is_another_network_or_the_same_by_design(session, table):
    parts = [str(recipe._parts(session.changed(**changes))) for changes in table.values()]
    assert len(set(parts)) == len(table)


def test_rows_that_the_tables_share_are_one_run(session):
    """Table 3's third row, table 4's "All" and table 6's first row are the same network."""
    same = (rows.TABLE3["Detector + IMG + IS"], rows.TABLE4["All"], rows.TABLE6["Ours w/o REG"])
    assert len({str(recipe._parts(session.changed(**changes))) for changes in same}) == 1
    two = (rows.TABLE3["Detector + IMG"], rows.TABLE7["3 (ours)"])
    assert len({str(recipe._parts(session.changed(**changes))) for changes in two}) == 1


def test_without_prefix_everything_starts_together(session):
    together = session.changed(training={"prefix": None})
    assert recipe.prefix(together, 0) is None


def test_masks_without_img_are_refused_by_the_params():
    with pytest.raises(ValueError, match="set img.on to true"):
        CommunityParams.model_validate({**PARAMS, "data": {"layout": "voc"}, "img": {"on": False}})


def test_no_mask_is_opened(session, tmp_path, monkeypatch):
    def refuse(self, kind, index):
        raise AssertionError(f"a weakly supervised stage opened Segmentation{kind} of {self.names[index]}")

    monkeypatch.setattr(VocSet, "_mask", refuse)
    blind = Session("community_learning", session.params, Store(tmp_path / "blind"), tmp_path)
    shown = recipe.pictures(session)
    monkeypatch.setattr(recipe, "pictures", lambda s: shown)
    recipe.post_processed(blind, recipe.instances(blind, 0))


def test_a_class_that_never_wins_is_named(capsys):
    from weakseg.nets.roi_detector import DetectorParams
    from weakseg.papers.community_learning.img import ImgParams
    from weakseg.papers.community_learning.model import SegParams, build_community

    params = DetectorParams.model_validate(DETECTOR), ImgParams(on=False), SegParams(on=False)
    model = build_community(*params, 2)
    model.tagged += 7
    model.won[0] += 3
    assert stages.counted(model, ("cat", "dog")) == {"cat": {"tagged": 7, "won": 3}, "dog": {"tagged": 7, "won": 0}}
    said = capsys.readouterr().out
    assert "'dog' was tagged 7 times" in said and "'cat'" not in said


def test_a_regressor_per_class_detects(session):
    row = session.changed(**rows.TABLE6["Ours (class-specific)"])
    assert 0 <= values(recipe.box_evidence(row, 0), "AP50")[0] <= 100
    assert 0 <= values(recipe.corloc_evidence(row, 0), "CorLoc")[0] <= 100


def test_a_label_map_is_cut_by_detected_boxes(session, tmp_path):
    """A map that says class 0 everywhere gives the filled boxes of class 0 and nothing of the others."""
    found, view = recipe.oicr_detections(session, 0), open_set(recipe.pictures(session), session.params.data, "val")
    for index, name in enumerate(view.names):
        save_labels(tmp_path / "semantic", name, np.ones(view.image(index).shape[:2], np.uint8))
    masks_of = recipe.cut_labels(session, found, external(tmp_path))
    for name in view.names:
        (_, labels, _), (masks, kept, _) = load_detected(found, name), load_instances(masks_of / "instances", name)
        assert kept.tolist() == labels[labels == 0].tolist()
        assert all(mask[np.ix_(mask.any(1), mask.any(0))].all() for mask in masks)


def test_baselines_run(session):
    """WSDDN, OICR and PRM."""
    for found in (recipe.wsddn(session, 0), recipe.oicr(session, 0), recipe.prm(session, 0)):
        assert 0 <= values(recipe.instance_evidence(session, found), "AP50")[0] <= 100


def test_oicr_on_the_studys_backbone_is_the_detector_alone(session):
    assert recipe.alike(session)
    assert recipe.oicr(session, 0) == recipe.instances(recipe.detector_alone(session), 0)
    other = session.changed(oicr={"detector": session.params.oicr.detector.model_copy(update={"backbone": "small"})})
    assert not recipe.alike(other)
    assert recipe.oicr_detections(other, 0).path.parent.name == "oicr.predict_oicr"


def test_another_threshold_makes_other_masks_of_the_same_network(session):
    used = session.params.img.threshold
    assert recipe.instances_at(session, 0, used, "val") == recipe.instances(session, 0, "val")
    low, high = (recipe.instances_at(session, 0, xi, "val") for xi in (0.1, 0.9))
    name = open_set(recipe.pictures(session), session.params.data, "val").names[0]
    areas = [load_instances(found / "instances", name)[0].sum() for found in (low, high)]
    assert areas[0] > areas[1]


def test_wise_and_countseg_run(session):
    assert session.params.mask_rcnn.test == DetectionParams()
    for found in (recipe.wise_labels(session, 0), recipe.wise(session, 0), recipe.countseg(session, 0)):
        assert any((found / "instances").iterdir())


# ---------------------------------------------------------------- parameters


PROFILES = ["toy", "demo", "voc_animals", "gpu", "paper"]


def of_profile(paper: str, profile: str):
    return load(params_model(paper), places.params_file(profile, paper))


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_has_valid_parameters(profile):
    found = of_profile("community_learning", profile)
    assert found.profile == profile and found.img.cams == 3 and found.seg.on
    assert found.img.sigma == found.img.size / 4 and found.detector.refinements == 3 and found.test.nms == 0.3
    assert found.detector.regressor == "agnostic" and found.detector.pair_overlap == 0.6


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("group", ["data", "prm", "mask_rcnn"])
def test_what_irn_computes_as_well_is_computed_once(profile, group):
    one, other = (getattr(of_profile(paper, profile), group) for paper in ("irn", "community_learning"))
    assert one == other


@pytest.mark.parametrize("profile", PROFILES)
def test_all_start_from_one_classifier_or_from_imagenet(profile):
    ours, irn = of_profile("community_learning", profile), of_profile("irn", profile)
    if ours.detector.weights is None:
        assert ours.classifier == irn.classifier and ours.detector.backbone == ours.classifier.backbone
    assert ours.countseg.prm == ours.prm


def test_the_papers_settings():
    found = of_profile("community_learning", "paper")
    how = found.training.optimisation
    assert found.training.prefix is None and found.training.short_sides == (480, 576, 688, 864, 1000)
    assert (how.steps, how.batch_size, how.lr, how.weight_decay) == (120_000, 2, 1e-3, 5e-4)
    assert [round(how.lr_at(step / 120_000), 6) for step in (0, 89_999, 90_000)] == [1, 1, 0.1]
    assert (found.detector.pool, found.img.size, found.img.sigma, found.img.threshold) == (7, 28, 7.0, 0.4)
    assert (found.oicr.refine_lr, found.oicr.bias_lr, found.oicr.bias_decay) == (10, 2, False)
