"""The whole recipe, really run on a few drawn pictures with the toy parameters."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from weakseg.data.sets import open_set
from weakseg.metrics import resample
from weakseg.papers.irn import labels as pseudo
from weakseg.papers.irn import recipe, stages
from weakseg.papers.irn.params import VARIANTS, IrnParams
from weakseg.study.artifacts import load_instances, load_labels, load_maps
from weakseg.study.params import load
from weakseg.study.stages import Store

PARAMS = Path(__file__).resolve().parents[3] / "params"


def session(root: Path, profile: str):
    return SimpleNamespace(params=load(IrnParams, PARAMS / profile / "irn.yaml"), store=Store(root))


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return session(tmp_path_factory.mktemp("runs"), "toy")


def names(s, split):
    return open_set(recipe.pictures(s), s.params.data, split).names


@pytest.mark.parametrize("profile", ["toy", "demo", "voc_animals", "gpu", "paper"])
def test_every_profile_has_valid_parameters(profile, tmp_path):
    assert session(tmp_path, profile).params.profile == profile


@pytest.mark.parametrize("variant", VARIANTS)
def test_pseudo_labels_of_every_variant(toy, variant):
    made = recipe.pseudo_labels(toy, 0, "train", variant)
    for name in names(toy, "train"):
        masks, labels, scores = load_instances(made / "instances", name)
        assert masks.shape[1:] == (64, 64) and len(masks) == len(labels) == len(scores)
        assert masks.sum(0).max(initial=0) <= 1 and masks.any((1, 2)).all()  # disjoint, none empty
        assert ((scores >= 0) & (scores <= 1)).all()
        assert load_labels(made / "semantic", name).max() <= 3
    column = {"instances": "AP50", "semantic": "mIoU"}
    for judge, kind in ((recipe.instance_evidence, "instances"), (recipe.semantic_evidence, "semantic")):
        value = resample.value(resample.load(judge(toy, made, "train") / "evidence.npz"), column[kind])
        assert 0 <= value <= 100


def test_label_maps_do_not_depend_on_displacements(toy):
    boundary, full = (recipe.pseudo_labels(toy, 0, "train", variant) for variant in ("boundary", "full"))
    for name in names(toy, "train"):
        np.testing.assert_array_equal(load_labels(boundary / "semantic", name), load_labels(full / "semantic", name))


def test_pictures_in_part_of_the_training_set_are_computed_once(toy):
    assert recipe.cams(toy, 0, "train").key == recipe.cams(toy, 0, "trainaug").key
    assert recipe.fields(toy, 0, "train").key != recipe.fields(toy, 0, "tune").key


def test_only_tagged_classes_have_attention(toy):
    tags = {name: set(load_maps(recipe.cams(toy, 0) / "cams", name)["classes"]) for name in names(toy, "train")}
    opened = open_set(recipe.pictures(toy), toy.params.data, "train")
    for index, name in enumerate(opened.names):
        assert tags[name] == {box.label for box in opened.objects(index)}


def test_the_walk_leaves_everything_before_it_alone(toy):
    changed = toy.params.model_copy(update={"walk": toy.params.walk.model_copy(update={"steps": 8})})
    other = SimpleNamespace(params=changed, store=toy.store)
    assert recipe.fields(other, 0, "train").key == recipe.fields(toy, 0, "train").key
    assert recipe.backgrounds(other, 0, "full").key != recipe.backgrounds(toy, 0, "full").key


def test_backgrounds_are_the_best_of_the_grid(toy):
    import json

    found = json.loads((recipe.backgrounds(toy, 0, "cam") / "chosen.json").read_text())
    assert tuple(found["grid"]) == toy.params.labels.grid
    assert found["instances"] == found["grid"][int(np.argmax(found["ap50"]))]
    assert found["semantic"] == found["grid"][int(np.argmax(found["miou"]))]


def test_fixed_backgrounds():
    fixed = load(IrnParams, PARAMS / "paper" / "irn.yaml").labels
    assert pseudo.read_backgrounds(None, "full", fixed) == pseudo.Backgrounds(0.25, 0.25)
    assert pseudo.read_backgrounds(None, "cam", fixed) == pseudo.Backgrounds(0.25, 0.15)


def test_affinitynet(toy):
    made = recipe.affinitynet_labels(toy, 0, "train")
    assert all(load_labels(made / "semantic", name).shape == (64, 64) for name in names(toy, "train"))


def test_tag_evidence(toy):
    evidence = resample.load(recipe.tag_evidence(toy, 0, "val") / "evidence.npz")
    assert evidence.scores.shape == (16, 3)


def test_the_same_seed_gives_the_same_bytes(toy, tmp_path):
    again = SimpleNamespace(params=toy.params, store=Store(tmp_path))
    first, second = (recipe.irnet(s, 0) / "model.safetensors" for s in (toy, again))
    assert first.read_bytes() == second.read_bytes()


def test_irnet_without_a_classifier_is_refused(toy):
    with pytest.raises(ValueError, match="irnet.start: classifier needs a trained classifier"):
        stages.start_irnet(toy.params.irnet, None, None)
