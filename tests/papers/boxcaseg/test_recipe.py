"""Parameters, and the whole recipe on a dozen small drawn pictures."""

import json
from functools import partial

import numpy as np
import pytest

from weakseg.data.menagerie import MenagerieParams, draw_set
from weakseg.data.sets import DataParams, open_set
from weakseg.metrics import resample
from weakseg.nets.final import boxes_of
from weakseg.nets.mask_rcnn import train_mask_rcnn
from weakseg.papers.boxcaseg import detector, recipe
from weakseg.papers.boxcaseg.params import BoxCasegParams
from weakseg.papers.boxcaseg.samples import SamplingParams
from weakseg.study import places
from weakseg.study.artifacts import load_instances, save_instances, save_maps
from weakseg.study.params import load, validate
from weakseg.study.session import Session, params_model
from weakseg.study.stages import Artifact, Store

NET = {
    "backbone": "tiny",
    "strides": [4, 8],
    "anchors": [16, 24],
    "pyramid_channels": 16,
    "mask_channels": [16],
    "box_features": 32,
    "proposals_before_nms": 40,
    "proposals": 20,
    "training": {"steps": 2, "batch_size": 4},
    "test": {"score": 0.0},
}
TINY = {
    "profile": "toy",
    "seeds": [0],
    "segmenter": {
        "backbone": "tiny",
        "weights": None,
        "samples": {"side": 32, "salient_side": 36, "test_side": 32},
        "sampling": {"ratio": [3, 1]},
        "training": {"steps": 3, "batch_size": 8},
    },
    "classifier": {
        "backbone": "tiny",
        "weights": None,
        "output_stride": 8,
        "cut_after": 0,
        "epochs": 1,
        "batch_size": 4,
        "long_side": None,
        "crop": None,
    },
    "mask_rcnn": NET,
    "boxinst": {"warmup": 2, "bottom_rows": 0},
}


def params(data, **changes) -> BoxCasegParams:
    return validate(BoxCasegParams, {**TINY, "data": data, "crowd": {"data": data}, **changes}, "params")


@pytest.fixture(scope="module")
def session(drawn, tmp_path_factory):
    store, _, data = drawn
    return Session("boxcaseg", params(data), store, tmp_path_factory.mktemp("out"))


def value(evidence, column):
    return resample.value(resample.load(evidence / "evidence.npz"), column)


def test_from_boxes_to_instances(session):
    made = recipe.finished(session, 0, "val")
    assert 0 <= value(recipe.proxy_evidence(session, made, "val"), "mIoU*") <= 100
    judged = recipe.detection_evidence(session, recipe.final_instances(session, 0))
    assert all(0 <= value(judged, column) <= 100 for column in ("AP25", "AP50", "AP70", "AP75"))
    assert {"AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"} <= set(
        json.loads((judged / "coco.json").read_text())
    )


@pytest.mark.parametrize("name", ["bbtp", "bbtp_crf", "boxinst", "sdi"])
def test_every_baseline_runs(session, name):
    assert 0 <= value(recipe.detection_evidence(session, recipe.baseline(session, 0, name)), "AP50") <= 100


def test_full_supervision_runs(session):
    assert 0 <= value(recipe.detection_evidence(session, recipe.supervised(session, 0)), "AP50") <= 100


def test_what_a_variant_shares(session):
    """Alpha at inference and the weak head retrain nothing; merging and dropping retrain the detector alone."""
    trained = recipe.segmenter(session, 0).key
    for changes in (
        {"n_salient": 3},
        {"loss": {"alpha": 0.3}},
        {"sampling": {"ratio": None}},
        {"samples": {"faithful": True}},
    ):
        assert recipe.segmenter(recipe.variant(session, **changes), 0).key != trained
    plain, dropless = session.changed(proxies={"merge": False}), session.changed(proxies={"drop": None})
    for other in (plain, dropless):
        assert recipe.segmenter(other, 0).key == trained
        assert recipe.proxies(other, 0).key == recipe.proxies(session, 0).key
    assert recipe.finished(plain, 0).key != recipe.finished(session, 0).key == recipe.finished(dropless, 0).key
    assert recipe.final_instances(dropless, 0).key != recipe.final_instances(session, 0).key


def test_the_second_set_has_its_own_mixture(session, drawn):
    other = recipe.crowd(session)
    assert other.params.segmenter.loss.alpha == 0.6 and other.params.segmenter.sampling.ratio == (11, 5)
    assert session.params.segmenter.loss.alpha == 0.7 and session.params.segmenter.sampling.ratio == (3, 1)


def test_proxies_that_are_the_truth_train_the_fully_supervised_network(session, drawn, tmp_path):
    """True masks as proxies, their own tight boxes, agreement 1: the same bytes as by torchvision's own loss."""
    store, pictures, data = drawn
    view = open_set(pictures, data, "trainaug")
    for index, name in enumerate(view.names):
        masks, labels = view.instances(index)
        save_instances(tmp_path / "instances", name, masks, labels, np.ones(len(labels)))
        save_maps(tmp_path / "boxes", name, corners=boxes_of(masks).astype(int))
    given = {"pictures": pictures, "init": None, "weights": None, "data": data, "mask_rcnn": session.params.mask_rcnn}
    trained = []
    for folder, drop in (("all", None), ("good", 0.95), ("true", None)):
        (tmp_path / folder).mkdir()
        how = {"proxies": Artifact(tmp_path, ""), "drop": drop}
        if folder == "true":
            train_mask_rcnn(tmp_path / folder, **given, labels=None, seed=1)
        else:
            detector.train_proxy_rcnn(tmp_path / folder, **given, **how, seed=1)
        trained.append((tmp_path / folder / "model.safetensors").read_bytes())
    assert trained[0] == trained[1] == trained[2]


def test_dropping_everything_still_learns_boxes(session, drawn, tmp_path):
    _, pictures, data = drawn
    made = recipe.finished(session, 0)
    given = {"pictures": pictures, "init": None, "weights": None, "data": data, "mask_rcnn": session.params.mask_rcnn}
    detector.train_proxy_rcnn(tmp_path, **given, proxies=made, drop=1.0, seed=0)
    log = (tmp_path / "log.csv").read_text().splitlines()
    last = dict(zip(log[0].split(","), log[-1].split(","), strict=True))
    assert float(last["loss_mask"]) == 0 and float(last["loss_classifier"]) > 0


# ---------------------------------------------------------------- parameters


def test_defaults_are_the_papers(drawn):
    _, _, data = drawn
    needed = {name: TINY[name] for name in ("profile", "seeds", "mask_rcnn")}
    found = validate(BoxCasegParams, {**needed, "data": data, "crowd": {"data": data}}, "params")
    net = found.segmenter
    assert net.backbone == "hrnet_w48" and (net.samples.side, net.samples.salient_side, net.samples.test_side) == (
        288,
        320,
        320,
    )
    assert (net.loss.alpha, net.loss.smooth, net.loss.mix, net.loss.reduction) == (0.7, 0.05, "logits", "mean")
    how = net.training
    assert (how.lr, how.momentum, how.weight_decay, how.batch_size, how.epochs) == (0.004, 0.9, 1e-4, 32, 40)
    assert how.lr_at(0.5) == pytest.approx(0.5**0.9)
    assert found.proxies.merge and found.proxies.drop == 0.95 and found.crowd.alpha == 0.6


def test_mistakes_end_in_one_line(drawn):
    _, _, data = drawn
    with pytest.raises(ValueError, match="^params: segmenter.loss.alfa: unknown key; did you mean 'alpha'"):
        params(data, segmenter={**TINY["segmenter"], "loss": {"alfa": 0.3}})


def test_a_run_without_a_second_set_says_so(drawn, session):
    _, _, data = drawn
    alone = Session("boxcaseg", params(data, crowd=None), session.store, session.folder)
    with pytest.raises(ValueError, match="crowd: this run has no second set"):
        recipe.crowd(alone)


def test_alpha_of_the_training_is_read_once(session):
    assert recipe.proxies(session, 0, "val", alpha=0.7).key == recipe.proxies(session, 0, "val").key
    assert recipe.proxies(session, 0, "val", alpha=0.3).key != recipe.proxies(session, 0, "val").key


def as_annotated_by_hand(path):
    """An instances json with what COCO has and drawn pictures have not: no object in the first picture; in the second a
    crowd, a box without area and one narrower than a pixel."""
    content = json.loads(path.read_text())
    first, second = (picture["id"] for picture in content["images"][:2])
    kept = [a for a in content["annotations"] if a["image_id"] != first]
    common = {"image_id": second, "category_id": 1, "area": 9, "iscrowd": 0}
    whole, corner = {"size": [64, 64], "counts": [0, 4096]}, [[60, 60, 63, 60, 63, 63, 60, 63]]
    kept.append({**common, "id": 901, "iscrowd": 1, "bbox": [0, 0, 64, 64], "segmentation": whole})
    kept.append({**common, "id": 902, "bbox": [60, 60, 3, 0], "segmentation": corner})
    kept.append({**common, "id": 903, "bbox": [60.2, 60.3, 0.2, 3.1], "segmentation": corner})
    path.write_text(json.dumps({**content, "annotations": kept}))


@pytest.fixture(scope="module")
def coco_root(tmp_path_factory):
    """A data root with COCO and DUTS, as the profile `paper` wants it."""
    root = tmp_path_factory.mktemp("coco")
    draw_set(root, menagerie=MenagerieParams(size=64, classes=3, n_trainaug=8, n_train=2, n_val=4, n_tune=1,
                                             n_salient=6, n_salient_test=1, n_ilso=2))  # fmt: skip
    (root / "DUTS/DUTS-Single.txt").write_text("\n".join(f"thing_{k:06d}" for k in range(6)))
    for part in ("train", "val"):
        as_annotated_by_hand(root / f"coco/annotations/instances_{part}2017.json")
    return root


@pytest.fixture(scope="module")
def on_coco(coco_root, tmp_path_factory):
    """The second set of the profile `paper`: a few steps of small networks, all else as the profile has it."""
    found = of_profile("boxcaseg", "paper")
    short = {
        "data": found.crowd.data.model_copy(update={"root": str(coco_root)}),
        "training": found.crowd.training.model_copy(update={"steps": 3, "batch_size": 16}),
        "detector": found.crowd.detector.model_copy(update={"steps": 2, "batch_size": 4}),
    }
    given = found.model_copy(update={"crowd": found.crowd.model_copy(update=short)})
    out = tmp_path_factory.mktemp("out")
    net = {name: value for name, value in NET.items() if name not in ("training", "test")}
    small = {name: TINY["segmenter"][name] for name in ("backbone", "weights", "samples")}
    s = Session("boxcaseg", given, Store(out / "runs"), out)
    return recipe.crowd(
        s.changed(mask_rcnn={**net, "weights": None, "short_side": None, "pyramid_pool": False}, segmenter=small)
    )


def test_boxes_of_coco_become_masks(on_coco):
    made, how = recipe.finished(on_coco, 0, "val"), on_coco.params.segmenter
    assert (how.training.steps, how.training.until, how.loss.alpha, how.sampling.crowded) == (3, 0.25, 0.6, 0.25)
    opened = open_set(recipe.pictures(on_coco), on_coco.params.data, "val")
    found = [len(load_instances(made / "instances", name)[1]) for name in opened.names]
    assert found == [len(opened.objects(index)) for index in range(len(opened))] and found[0] == 0
    assert 0 <= value(recipe.proxy_evidence(on_coco, made, recipe.judged(on_coco)), "mIoU*") <= 100


@pytest.mark.parametrize("row", ["BoxCaseg", "BBTP", "Mask R-CNN (oracle)"])
def test_every_row_of_table_2_learns_from_coco(on_coco, row):
    predict = {"BoxCaseg": recipe.final_instances, "BBTP": partial(recipe.baseline, name="bbtp")}
    judged = recipe.detection_evidence(on_coco, predict.get(row, recipe.supervised)(on_coco, 0))
    assert 0 <= json.loads((judged / "coco.json").read_text())["AP"] <= 100


def test_the_paper_on_coco_is_the_papers():
    crowd = of_profile("boxcaseg", "paper").crowd
    assert crowd.data == DataParams(layout="coco") and (crowd.ratio, crowd.crowded, crowd.alpha) == ((11, 5), 0.25, 0.6)
    how, detector = crowd.training, crowd.detector
    salient_each = SamplingParams(ratio=crowd.ratio).shares(how.batch_size)[1]
    assert how.steps == 50 * (7991 // salient_each) and how.lr * how.lr_at(1) == pytest.approx(0.008 * 0.75**0.9)
    assert [round(detector.lr_at(step / 90_000), 4) for step in (500, 59_999, 60_100, 80_100)] == [1, 1, 0.1, 0.01]


def test_the_paper_leaves_out_no_small_object_and_slows_the_sums_by_the_pixels_of_a_crop():
    found = of_profile("boxcaseg", "paper")
    assert found.mask_rcnn.min_side == 0 and found.segmenter.training.method == "sgd"
    assert found.sweep.printed_lr * found.segmenter.samples.side**2 == pytest.approx(1, rel=1e-4)


def test_lists_of_salient_pictures_are_of_duts(drawn):
    _, _, data = drawn
    ecssd = {**TINY["segmenter"], "salient": "ecssd"}
    assert params(data, segmenter=ecssd).segmenter.salient == "ecssd"
    for changes in ({"sweep": {"other_classes": "a.txt"}}, {"segmenter": {**ecssd, "salient_list": "a.txt"}}):
        with pytest.raises(ValueError, match="lists are read for duts only"):
            params(data, **{"segmenter": ecssd, **changes})


def test_what_the_method_was_given(session):
    assert sum(len(found.labels) for found in recipe.boxes_of(session)) > 12
    assert len(recipe.salient_of(session, 0)) == 6
    assert len(recipe.salient_of(recipe.variant(session, n_salient=2), 0)) == 2
    assert recipe.judged(session) == "val"


PROFILES = ["toy", "demo", "voc_animals", "gpu", "paper"]


def of_profile(paper: str, profile: str):
    return load(params_model(paper), places.params_file(profile, paper))


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_has_valid_parameters(profile):
    found = of_profile("boxcaseg", profile)
    assert found.profile == profile and found.segmenter.loss.alpha == 0.7 and not found.segmenter.samples.faithful
    assert list(found.sweep.salient) == sorted(found.sweep.salient) and found.sweep.alphas[0] == 0
    assert found.sweep.printed_lr == 1 or found.segmenter.training.method == "sgd"
    if found.crowd is not None:
        batch = found.segmenter.training.batch_size
        shares = [SamplingParams(ratio=ratio).shares(batch) for ratio in found.sweep.ratios]
        assert [16 * crops / batch for crops, _ in shares] == [8, 9, 10, 11, 12, 13, 14]


@pytest.mark.parametrize("profile", ["demo", "voc_animals", "gpu"])
@pytest.mark.parametrize("group", ["data", "classifier", "sdi"])
def test_what_irn_computes_as_well_is_computed_once(profile, group):
    one, other = (getattr(of_profile(paper, profile), group) for paper in ("irn", "boxcaseg"))
    assert one == other


def test_weights_that_are_not_there_are_named(session, monkeypatch):
    monkeypatch.delenv("WEAKSEG_WEIGHTS", raising=False)
    paper = recipe.variant(session, backbone="hrnet_w48", weights="hrnet_w48.safetensors")
    with pytest.raises(FileNotFoundError, match="hrnet_w48.safetensors was not found; set WEAKSEG_WEIGHTS"):
        recipe.segmenter(paper, 0)


def test_predictions_have_the_size_of_the_pictures(session):
    found = recipe.final_instances(session, 0)
    for name in open_set(recipe.pictures(session), session.params.data, "val").names:
        assert load_instances(found / "instances", name)[0].shape[1:] == (64, 64)
