"""The saliency filter: two readings of one sentence."""

import numpy as np
import pytest

from weakseg.baselines.saliency_filter import FilterParams, agreement, keep_salient, region_at
from weakseg.study.artifacts import load_instances, save_instances, save_maps
from weakseg.study.stages import Artifact


def halves():
    masks = np.zeros((3, 8, 8), bool)
    masks[0, :, :4] = masks[1, :, 4:] = masks[2, :4] = True
    return masks


def test_of_two_equal_instances_neither_has_the_iou_that_the_paper_asks_for():
    whole = np.ones((8, 8), bool)
    assert agreement(halves(), whole, "iou").tolist() == [0.5, 0.5, 0.5]
    assert agreement(halves(), whole, "inside").tolist() == [1, 1, 1]


def test_agreement_by_hand():
    region = halves()[0]
    assert agreement(halves(), region, "inside").tolist() == [1, 0, 0.5]
    assert agreement(halves(), region, "iou").tolist() == pytest.approx([1, 0, 1 / 3])
    assert agreement(np.zeros((1, 8, 8), bool), np.zeros((8, 8), bool), "iou").tolist() == [0]
    assert agreement(np.zeros((0, 8, 8), bool), region, "inside").shape == (0,)


def test_the_region_has_the_pictures_size():
    saliency = np.array([[1, 0], [1, 0]], np.float16)
    region = region_at(saliency, (9, 7), 0.5)
    assert region.shape == (9, 7) and region[:, 0].all() and not region[:, -1].any()


def test_instances_outside_the_region_go(tmp_path):
    save_instances(tmp_path / "instances", "p", halves(), np.array([2, 4, 1]), np.array([0.3, 0.2, 0.1]))
    save_maps(tmp_path / "saliency", "p", saliency=np.array([[1, 0], [1, 0]], np.float16))
    given = Artifact(tmp_path, "k")
    keep_salient(tmp_path / "out", predictions=given, saliency=given, saliency_filter=FilterParams())
    masks, labels, scores = load_instances(tmp_path / "out" / "instances", "p")
    assert (masks == halves()[:1]).all() and labels.tolist() == [0] and scores.tolist() == pytest.approx([0.3])
