"""The whole recipe, really run on a few drawn pictures."""

import json
from dataclasses import replace

import numpy as np
import pytest

from weakseg.data.salient_instances import open_salient
from weakseg.metrics import class_agnostic, resample
from weakseg.nets.saliency import read_saliency
from weakseg.papers.irn import recipe as irn_recipe
from weakseg.papers.wsid_net import recipe
from weakseg.papers.wsid_net.branches import CountedPictures
from weakseg.papers.wsid_net.params import PAPER_CRF
from weakseg.papers.wsid_net.saliency import pseudo_mask
from weakseg.study import places
from weakseg.study.artifacts import load_instances, load_labels, load_maps
from weakseg.study.params import load
from weakseg.study.session import Session, params_model


def opened(s, split):
    return open_salient(recipe.pictures(s), s.params.data, s.params.source, split)


def test_from_tags_and_counts_to_instances(toy):
    made = recipe.instances(toy, 0)
    for name in opened(toy, "test").names:
        masks, labels, scores = load_instances(made / "instances", name)
        assert masks.shape[1:] == (64, 64) and len(masks) == len(labels) == len(scores)
        assert masks.sum(0).max(initial=0) <= 1 and not labels.any() and ((scores >= 0) & (scores <= 1)).all()
    whole = resample.load(recipe.evidence(toy, made) / "evidence.npz")
    assert 0 <= resample.value(whole, "AP50") <= 100
    own = class_agnostic.PictureEvidence.load(recipe.picture_evidence(toy, made) / "evidence.npz")
    assert 0 <= class_agnostic.mean_picture_ap(own, 0.7) <= 100
    counted = class_agnostic.CountEvidence.load(recipe.count_evidence(toy, made) / "evidence.npz")
    assert counted.true.tolist() == [opened(toy, "test").count(i) for i in range(3)]


def test_the_background_is_the_best_of_the_grid(toy):
    found = json.loads((recipe.background(toy, 0) / "chosen.json").read_text())
    assert tuple(found["grid"]) == toy.params.instances.grid
    assert found["background"] == found["grid"][int(np.argmax(found["ap50"]))]
    assert recipe.background(toy.changed(instances={"background": 0.3}), 0) is None


def test_the_counted_pictures_have_saliency_and_pseudo_masks_are_binary(toy):
    shown = recipe.saliency_maps(toy, 0, "train")
    for name in opened(toy, "train").names:
        saliency = read_saliency(shown, name)
        assert saliency.shape == (16, 16) and 0 <= saliency.min() <= saliency.max() <= 1
    masks = recipe.pseudo_saliency(toy, 0)
    names = load_maps(recipe.cams(toy, 0) / "cams", next((masks / "semantic").glob("*.png")).stem)
    assert names["classes"].size and load_labels(masks / "semantic", "2012_000000").max() <= 1


def test_without_counts_nothing_of_the_counted_pictures_is_asked_for(toy):
    bare = recipe.without(toy, "DA", "BE", "L_SU")
    assert bare.params.wsid.attention is bare.params.wsid.enhancement is bare.params.wsid.count is None
    record = json.loads((recipe.two_branches(bare, 0) / "record.json").read_text())
    assert "derive_counts" not in json.dumps(record["inputs"])
    assert recipe.fields(bare, 0, "test").key != recipe.fields(toy, 0, "test").key
    with pytest.raises(KeyError):
        recipe.without(toy, "CRF")


def test_true_saliency_replaces_the_predicted_one(toy):
    repaired = recipe.walked(toy, 0, "test", recipe.true_saliency(toy))
    assert repaired.key != recipe.walked(toy, 0, "test").key
    recalls = recipe.recall(toy, 0)
    assert set(recalls) == set(opened(toy, "test").names) and all(0 <= v <= 1 for v in recalls.values())


def test_what_acts_after_the_walk_leaves_it_alone(toy):
    other = toy.changed(instances={"background": 0.4, "smallest": 0.1})
    assert recipe.walked(other, 0, "test").key == recipe.walked(toy, 0, "test").key


def test_a_set_without_counts_is_refused(toy):
    view = opened(toy, "train")
    with pytest.raises(ValueError, match=f"counts: {view.names[0]} has none; L_SU needs"):
        CountedPictures(view, recipe.saliency_maps(toy, 0, "train"), {}, 64, 0.5)


def test_a_counted_picture_is_shown_whole(toy):
    view = opened(toy, "train")
    shown = CountedPictures(view, recipe.saliency_maps(toy, 0, "train"), dict.fromkeys(view.names, 2), 48, 0.5)
    sample = shown.sample(np.random.default_rng(0))
    assert sample["counted"].shape == (3, 48, 48) and sample["region"].shape == (48, 48) and sample["count"] == 2
    wide = CountedPictures(view, recipe.saliency_maps(toy, 0, "train"), dict.fromkeys(view.names, 2), 80, 0.5)
    assert (wide.sample(np.random.default_rng(0))["region"][64:] == 255).all()


def test_pseudo_masks_without_tags(toy):
    image = np.zeros((8, 8, 3), np.uint8)
    assert not pseudo_mask(image, np.zeros((0, 8, 8), np.float32), toy.params.pseudo).any()
    attention = np.zeros((2, 8, 8), np.float32)
    attention[0, :4], attention[1, 6:] = 0.9, 0.8
    plain = toy.params.pseudo.model_copy(update={"crf": None})
    mask = pseudo_mask(image, attention, plain)
    assert mask[:4].all() and mask[6:].all() and not mask[4:6].any()


def test_boxes_can_take_the_place_of_counts(toy):
    """Photographs without salient instances: counts come from boxes, and the annotated objects are the true ones."""
    s = replace(toy, params=toy.params.model_copy(update={"source": "voc"}))
    assert recipe.saliency_net(s, 0).key == recipe.saliency_net(toy, 0).key
    made = recipe.instances(s, 0)
    names = {path.stem for path in (made / "instances").glob("*.npz")}
    assert names == set(opened(s, "test").names) and len(names) == 3
    assert 0 <= resample.value(resample.load(recipe.evidence(s, made) / "evidence.npz"), "AP50") <= 100


# ---------------------------------------------------------------- profiles

PROFILES = ["toy", "demo", "voc_animals", "gpu", "paper"]


def of_profile(paper, profile):
    return load(params_model(paper), places.params_file(profile, paper))


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_has_valid_parameters(profile):
    found = of_profile("wsid_net", profile)
    assert found.profile == profile and found.wsid.attention and found.wsid.enhancement
    assert found.source == ("voc" if profile == "voc_animals" else "ilso")
    count = found.wsid.count
    assert count.weight == getattr(found.count_weights, count.surrogate)  # one weight a surrogate, in both places
    assert (count.weak, found.baselines.irn.weak) == (found.instances.weak,) * 2


def test_paper_profile_is_the_papers():
    found = of_profile("wsid_net", "paper")
    for how in (found.wsid.training, found.saliency.training):
        assert (how.method, how.batch_size, how.epochs, how.lr, how.schedule) == ("sgd", 6, 5, 0.01, "poly")
    assert (found.wsid.backbone, found.wsid.crop) == ("resnet50", 512)
    assert found.baselines.irn.faithful and found.baselines.s4net.mask_rcnn.anchor_ratios == (0.5, 1.0, 2.0)
    assert found.pseudo.crf == found.relation.crf == PAPER_CRF.model_copy(update={"iterations": 10})


@pytest.mark.parametrize("profile", ["toy", "demo", "voc_animals", "gpu"])
def test_what_irn_computes_as_well_is_computed_once(profile):
    ours, irn = (of_profile(paper, profile) for paper in ("wsid_net", "irn"))
    for group in ("data", "classifier", "cam", "relation"):
        assert getattr(ours, group) == getattr(irn, group)
    assert ours.baselines.deepmask.sdi == irn.sdi


def test_stages_of_both_papers_are_the_very_same(toy):
    groups = {group: getattr(toy.params, group) for group in ("data", "classifier", "cam", "relation")}
    irn = Session("irn", of_profile("irn", "toy").model_copy(update=groups), toy.store, toy.folder)
    for stage in ("pictures", "classifier", "cams", "relation_labels"):
        seed = () if stage == "pictures" else (0,)
        assert getattr(irn_recipe, stage)(irn, *seed).key == getattr(recipe, stage)(toy, *seed).key
