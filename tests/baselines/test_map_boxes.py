"""MAP: boxes, centres, masks."""

import numpy as np
import pytest

from weakseg.baselines.map_boxes import MapParams, box_centres, chosen_boxes, cut_out, shares


def test_boxes_are_shares_of_the_sides():
    mask = np.zeros((1, 10, 20), bool)
    mask[0, 2:7, 4:14] = True
    assert shares(mask).tolist() == [pytest.approx([0.2, 0.2, 0.7, 0.7])]
    assert shares(np.zeros((0, 4, 4), bool)).shape == (0, 4)


def test_centres_are_clusters_of_boxes():
    rng = np.random.default_rng(0)
    middles = np.array([[0.1, 0.1, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9]])
    boxes = (middles[rng.integers(0, 2, 40)] + rng.normal(0, 0.01, (40, 4))).astype(np.float32)
    found = box_centres(boxes, 2)
    np.testing.assert_allclose(found[found[:, 0].argsort()], middles, atol=0.02)
    assert box_centres(boxes[:3], 100).shape == (3, 4)


def test_the_best_of_overlapping_boxes_stays():
    centres = np.array([[0, 0, 0.5, 0.5], [0.02, 0, 0.52, 0.5], [0.6, 0.6, 0.9, 0.9], [0.1, 0.7, 0.3, 0.9]])
    boxes, scores = chosen_boxes(centres, np.array([0.8, 0.9, 0.7, 0.01]), MapParams())
    assert len(boxes) == 2 and scores.min() >= 0.7
    few, _ = chosen_boxes(centres, np.array([0.8, 0.9, 0.7, 0.01]), MapParams(top=1))
    assert few.tolist() == [centres[1].tolist()]


def test_the_crf_finds_the_object_in_its_box():
    image = np.full((40, 40, 3), 30, np.uint8)
    image[12:28, 12:28] = 220
    found = cut_out(image, np.array([0.2, 0.2, 0.8, 0.8]), MapParams())
    truth = np.zeros((40, 40), bool)
    truth[12:28, 12:28] = True
    assert (found & truth).sum() / (found | truth).sum() > 0.9


def test_an_empty_cut_is_the_box():
    image = np.zeros((20, 20, 3), np.uint8)
    found = cut_out(image, np.array([0.5, 0.5, 0.5, 0.5]), MapParams(inside=0.1, outside=0.01))
    assert found.sum() == 1 and found[10, 10]
