"""From fields and saliency to instances: two discs, and what is missing."""

import json

import numpy as np
import pytest
import torch

from weakseg.baselines.saliency_filter import FilterParams
from weakseg.data.salient_instances import SalientPictures
from weakseg.ops.displacement import end_points
from weakseg.ops.instances import WalkParams
from weakseg.papers.wsid_net import infer
from weakseg.papers.wsid_net.infer import instances_from, start_rows, walked_rows
from weakseg.papers.wsid_net.params import InstancesParams
from weakseg.study.artifacts import save_maps
from weakseg.study.stages import Artifact

INSTANCES = InstancesParams(weak=0.8, iterations=40, background=0.3)
WALK = WalkParams(radius=3, beta=8, steps=16)
SIDE = 24


def scene(centres, radius=5.5):
    """Saliency (h, w) of discs, the field that points to the nearest centre, and the boundary between them."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    apart = np.array(centres, np.float32)[:, :, None, None] - np.stack([y, x])
    distance = np.hypot(apart[:, 0], apart[:, 1])
    nearest = distance.argmin(0)
    field = np.take_along_axis(apart, nearest[None, None], 0)[0]
    saliency = (distance.min(0) <= radius).astype(np.float32)
    edge = np.zeros((SIDE, SIDE), np.float32)
    changes = nearest[:, 1:] != nearest[:, :-1]
    edge[:, 1:][changes] = 1
    edge[saliency == 0] = 1
    return saliency, field, edge, nearest


def rows_of(saliency, field, **changes):
    ends = end_points(torch.from_numpy(field)[None], 40)[0].numpy()
    return start_rows(saliency, field, ends, INSTANCES.model_copy(update=changes))


def test_two_discs_become_two_instances():
    saliency, field, edge, nearest = scene([(12, 6), (12, 17)])
    rows = rows_of(saliency, field)
    assert len(rows) == 2 and rows.sum(0).tolist() == saliency.tolist()
    (walked,) = walked_rows([rows], edge[None], WALK)
    masks, scores = instances_from(walked, (4 * SIDE, 4 * SIDE), 0.3, 0.01)
    assert len(masks) == 2 and (scores > 0.5).all() and not (masks[0] & masks[1]).any()
    for number in (0, 1):
        disc = np.kron((saliency > 0) & (nearest == number), np.ones((4, 4), bool))
        assert max((disc & m).sum() / (disc | m).sum() for m in masks) > 0.6


def test_a_merged_pair_is_one_instance():
    saliency, _, edge, _ = scene([(12, 7), (12, 17)])
    _, field, _, _ = scene([(12, 12)])
    assert len(rows_of(saliency, field)) == 1


def test_without_a_salient_region_there_is_no_instance():
    saliency, field, edge, _ = scene([(12, 12)])
    rows = rows_of(np.zeros_like(saliency), field)
    assert rows.shape == (0, SIDE, SIDE)
    (walked, other) = walked_rows([rows, rows_of(saliency, field)], np.stack([edge, edge]), WALK)
    masks, scores = instances_from(walked, (90, 93), 0.3, 0.01)
    assert masks.shape == (0, 90, 93) and scores.shape == (0,) and len(other) == 1


def test_pictures_without_any_row_walk_too():
    (walked,) = walked_rows([np.zeros((0, 8, 8), np.float32)], np.zeros((1, 8, 8), np.float32), WALK)
    assert walked.shape == (0, 8, 8)


def test_a_region_without_a_centroid_is_one_instance():
    saliency, field, _, _ = scene([(12, 12)])
    rows = rows_of(saliency, np.full_like(field, 5.0))
    assert len(rows) == 1 and rows[0].tolist() == saliency.tolist()


def test_saliency_decides_where_centroids_count():
    saliency, field, _, _ = scene([(12, 6), (12, 17)])
    saliency[:, 12:] *= 0.4
    assert len(rows_of(saliency, field)) == 1
    assert len(rows_of(saliency, field, salient=0.3)) == 2


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_small_groups_of_cells_are_no_instance(share):
    saliency, field, _, _ = scene([(12, 6), (4, 20)])
    saliency[:, 14:] = 0
    saliency[4, 19:22] = 1
    assert len(rows_of(saliency, field, share=share)) == (2 if share == 0 else 1)


@pytest.fixture
def spilling(tmp_path, monkeypatch):
    """Input of choose_background: one thing of 8 x 8 cells, fully salient, whose walked row spills over 8 x 5 more."""
    thing, row = np.zeros((16, 16), np.float32), np.zeros((1, 16, 16), np.float32)
    thing[4:12, 2:10] = 1
    row[0], row[0, 4:12, 10:15] = thing, 0.3
    save_maps(tmp_path / "walked", "p", rows=row, size=np.array([64, 64]))
    save_maps(tmp_path / "saliency", "p", saliency=thing)
    truth = np.kron(thing > 0, np.ones((4, 4), bool))[None]
    opened = SalientPictures(("p",), lambda i: None, lambda i: 1, lambda i: truth)
    monkeypatch.setattr(infer, "open_salient", lambda *given: opened)
    instances = InstancesParams(grid=(0.1, 0.5))
    return {"walked": Artifact(tmp_path, "k"), "instances": instances, "pictures": None, "data": None, "source": "ilso"}


def chosen(folder):
    return json.loads((folder / "chosen.json").read_text())


def test_the_first_of_equal_background_scores_is_chosen(tmp_path, spilling):
    infer.choose_background(tmp_path, **spilling)  # with the spill its IoU is 64 / 104, without it nearly 1
    assert chosen(tmp_path) == {"grid": [0.1, 0.5], "ap50": [100, 100], "background": 0.1}


def test_a_method_that_is_filtered_is_judged_after_the_filter(tmp_path, spilling):
    given = {"saliency": spilling["walked"], "saliency_filter": FilterParams(threshold=0.75)}
    infer.choose_background(tmp_path, **given, **spilling)  # 64 / 104 of the mask is salient: it is dropped
    assert chosen(tmp_path) == {"grid": [0.1, 0.5], "ap50": [0, 100], "background": 0.5}
