"""No training of WSID-Net opens a mask: the counts were derived before, by a stage of their own."""

import pytest

from weakseg.data.ilso import IlsoSet
from weakseg.data.voc import VocSet
from weakseg.papers.wsid_net import branches, recipe, saliency


@pytest.fixture
def blind(monkeypatch):
    """From here on reading any mask is an error."""

    def refuse(self, *place):
        raise AssertionError(f"a weakly supervised training opened a mask: {place}")

    monkeypatch.setattr(VocSet, "_mask", refuse)
    monkeypatch.setattr(IlsoSet, "instances", refuse)


def shown(s):
    return {"pictures": recipe.pictures(s), "data": s.params.data, "seed": 0}


def test_the_two_branches(toy, tmp_path, request):
    given = {"relation": recipe.relation_labels(toy, 0), "counts": recipe.counts(toy)}
    given["saliency"] = recipe.saliency_maps(toy, 0, "train")
    request.getfixturevalue("blind")
    branches.train_branches(tmp_path, source=toy.params.source, wsid=toy.params.wsid, **given, **shown(toy))
    assert (tmp_path / "model.safetensors").is_file()


def test_the_saliency_branch(toy, tmp_path, request):
    labels = recipe.pseudo_saliency(toy, 0)
    request.getfixturevalue("blind")
    saliency.train_saliency(tmp_path, labels=labels, saliency=toy.params.saliency, **shown(toy))
    assert (tmp_path / "model.safetensors").is_file()


def test_counts_are_the_only_thing_that_needs_masks(toy, tmp_path, blind):
    opened = {"pictures": recipe.pictures(toy), "data": toy.params.data, "source": "ilso", "split": "train"}
    with pytest.raises(AssertionError, match="opened a mask"):
        recipe.derive_counts(tmp_path, **opened)
