"""Rows of tables as sessions: labels of the tables, and what they change."""

import typing
from dataclasses import replace

import pytest

from weakseg.papers.wsid_net import recipe, variants
from weakseg.papers.wsid_net.params import BackboneRow
from weakseg.study.reported import reported_table


def labels(table):
    return [row.row for row in reported_table("wsid_net", table).rows]


def test_every_row_of_a_table_has_a_session(toy):
    assert list(variants.ablations(toy)) == labels("table2")
    assert list(variants.attentions(toy)) == labels("supplement_attention")
    assert list(variants.surrogates(toy)) == labels("surrogates")
    assert set(typing.get_args(BackboneRow)) == set(labels("supplement_backbones"))


def test_switches_are_those_that_the_row_names(toy):
    for row in reported_table("wsid_net", "table2").rows:
        wsid = variants.ablations(toy)[row.row].params.wsid
        there = {part: getattr(wsid, key) is not None for part, key in recipe.SWITCHES.items()}
        assert there == {part: row.about[part] == "yes" for part in there}


def test_choices_keep_everything_else(toy):
    serial = variants.attentions(toy)["Serial"].params.wsid
    assert serial.attention.arrangement == "serial" and serial.attention.reduction == 4
    assert serial.model_copy(update={"attention": toy.params.wsid.attention}) == toy.params.wsid
    weighted = toy.changed(count_weights={"soft": 0.9, "kmeans": 0.7}, wsid={"count": {"weight": 0.2}})
    found = {row: s.params.wsid.count for row, s in variants.surrogates(weighted).items()}
    assert found["No count loss"] is None
    assert [c.surrogate for c in found.values() if c] == ["soft", "straight", "kmeans"]
    assert [c.weight for c in found.values() if c] == [0.9, 0.1, 0.2]  # the session's own keeps its weight


def test_backbones_say_what_they_start_from(toy):
    rows = ["tiny, from scratch", "tiny, from the tag classifier", "ResNet50, ImageNet"]
    found = variants.backbones(replace(toy, params=toy.params.model_copy(update={"backbones": tuple(rows)})))
    assert list(found) == rows
    nets = [s.params.wsid for s in found.values()]
    assert [(n.backbone, n.weights, n.from_tags) for n in nets] == [
        ("tiny", None, False),
        ("tiny", None, True),
        ("resnet50", "torchvision", True),
    ]
    assert nets[1] == toy.params.wsid
    assert recipe.two_branches(found[rows[1]], 0).key == recipe.two_branches(toy, 0).key
    assert recipe.two_branches(found[rows[0]], 0).key != recipe.two_branches(toy, 0).key


def test_the_floor_has_nothing_to_vary(toy):
    with pytest.raises(ValueError, match="wsid.attention: null has nothing to vary"):
        variants.attentions(recipe.without(toy, "DA"))
