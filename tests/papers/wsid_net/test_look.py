"""What figures and tables are made from."""

import pytest

from weakseg.papers.wsid_net import measure, recipe
from weakseg.papers.wsid_net.look import look, worst_saliency
from weakseg.papers.wsid_net.saliency import share_of_cells
from weakseg.study.reported import reported_table


def test_a_picture_has_all_its_maps(toy):
    name = worst_saliency(toy, 0)
    recall = recipe.recall(toy, 0)
    assert recall[name] == min(recall.values())
    seen = look(toy, 0, name)
    assert seen.image.shape == (64, 64, 3) and seen.truth.shape[1:] == seen.masks.shape[1:] == (64, 64)
    assert seen.saliency.shape == seen.boundary.shape == seen.centroids.shape == (16, 16)
    assert seen.displacement.shape == (2, 16, 16) and len(seen.masks) == len(seen.scores)
    assert ((seen.centroids > 0) == (seen.saliency >= toy.params.instances.salient)).all()


def test_true_saliency_repairs_the_region(toy):
    name = worst_saliency(toy, 0)
    seen = look(toy, 0, name, shown=recipe.true_saliency(toy))
    region = share_of_cells(seen.truth.any(0)) >= toy.params.instances.salient
    assert ((seen.centroids > 0) == region).all() and seen.count >= 1


def test_an_unknown_picture_is_refused(toy):
    with pytest.raises(ValueError, match="nobody: no picture of test; it has 3"):
        look(toy, 0, "nobody")


def test_cells_fit_the_tables(toy):
    made, row = recipe.instances(toy, 0), "Ours"
    cells = [*measure.over_the_set(toy, row, 0, made), *measure.per_picture(toy, row, 0, made)]
    cells.append(measure.right_count(toy, row, 0, made))
    assert [cell.column for cell in cells] == list(reported_table("wsid_net", "table2").columns)
    assert all(0 <= cell.value <= 100 and (cell.evidence / "evidence.npz").is_file() for cell in cells)
