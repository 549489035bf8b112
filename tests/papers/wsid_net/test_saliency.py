"""True saliency on the grid: shares of cells by hand, and discs that stay where they are."""

import numpy as np
import pytest

from weakseg.data.salient_instances import SalientPictures
from weakseg.nets.saliency import read_saliency
from weakseg.ops.cam import grid_size
from weakseg.ops.instances import enlarge
from weakseg.papers.wsid_net import saliency
from weakseg.papers.wsid_net.saliency import share_of_cells
from weakseg.study.artifacts import save_maps
from weakseg.study.stages import Artifact


def disc(size, middle, radius):
    y, x = np.mgrid[: size[0], : size[1]]
    return np.hypot(y - middle[0], x - middle[1]) <= radius


def test_shares_by_hand():
    region = np.zeros((6, 9), bool)  # two by three cells; those below have 2 rows, those on the right 1 column
    region[:4, :2] = region[4:, 3:5] = region[:, 8] = True
    assert share_of_cells(region).tolist() == [[0.5, 0, 1], [0.25, 0.25, 1]]


@pytest.mark.parametrize("size", [(64, 64), (61, 62), (63, 65), (4, 1)])
def test_the_grid_is_that_of_the_fields(size):
    assert share_of_cells(np.ones(size, bool)).tolist() == np.ones(grid_size(size)).tolist()


def round_trips(sampled, n=100):
    """IoU of discs with what comes back from the grid, and how far their middles move (pixels): (n,) and (n, 2)."""
    rng, ious, moved = np.random.default_rng(0), [], []
    for _ in range(n):
        size, radius = rng.integers(90, 131, 2), rng.uniform(8, 20)
        region = disc(size, rng.uniform(radius, size - radius), radius)
        back = enlarge(sampled(region)[None], tuple(size))[0] >= 0.5
        ious.append((region & back).sum() / (region | back).sum())
        moved.append(np.argwhere(back).mean(0) - np.argwhere(region).mean(0))
    return np.array(ious), np.array(moved)


def test_discs_survive_the_grid_and_stay_in_place():
    ious, moved = round_trips(share_of_cells)
    assert ious.mean() > 0.95 and ious.min() > 0.85
    assert np.abs(moved.mean(0)).max() < 0.1


def test_the_corner_of_a_cell_would_shift_them():
    ious, moved = round_trips(lambda region: region[::4, ::4].astype(float))
    assert ious.mean() < 0.9 and moved.mean(0).min() > 1


def test_saliency_that_is_true_is_found_whole(tmp_path, monkeypatch):
    """The stage and the recall see one region: its own true saliency misses nothing, that of its left half one half."""
    masks = np.stack([disc((64, 64), (20, 20), 10), disc((64, 64), (44, 44), 10)])
    opened = SalientPictures(("p",), lambda i: None, lambda i: 2, lambda i: masks)
    monkeypatch.setattr(saliency, "open_salient", lambda *given: opened)
    where = {"pictures": None, "data": None, "source": "ilso", "split": "test"}
    saliency.true_saliency(tmp_path, **where)
    found = read_saliency(Artifact(tmp_path, "k"), "p")
    assert found.shape == (16, 16) and ((found > 0) & (found < 1)).any()
    assert saliency.saliency_recall(Artifact(tmp_path, "k"), **where) == {"p": 1}
    save_maps(tmp_path / "saliency", "p", saliency=found * (np.arange(16) < 8))
    assert saliency.saliency_recall(Artifact(tmp_path, "k"), **where) == {"p": pytest.approx(0.5)}


def test_a_picture_without_a_salient_region_has_no_recall(tmp_path, monkeypatch):
    opened = SalientPictures(("p",), lambda i: None, lambda i: 0, lambda i: np.zeros((0, 64, 64), bool))
    monkeypatch.setattr(saliency, "open_salient", lambda *given: opened)
    assert saliency.saliency_recall(Artifact(tmp_path, "k"), None, None, "ilso", "test") == {}
