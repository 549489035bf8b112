"""From fields and attention to labels, on cases whose answer is known."""

import numpy as np
import pytest
import torch

from weakseg.ops import instances
from weakseg.ops.cam import Cams
from weakseg.ops.displacement import end_points
from weakseg.ops.instances import Scores, WalkParams

WEAK = 2.5


def two_blobs():
    """A 12 x 20 grid: two bodies of class 3 side by side, attention only at their heads, a boundary between them."""
    low = np.zeros((1, 12, 20), np.float32)
    low[0, 3:6, 2:5] = low[0, 3:6, 12:15] = 1
    boundary = np.zeros((12, 20), np.float32)
    boundary[:, 9] = boundary[9] = boundary[:, 18] = 1
    ys, xs = np.mgrid[:12, :20]
    centre = np.where(xs < 9, 4, 13)
    displacement = np.stack([5 - ys, centre - xs]).astype(np.float32)
    return Cams(np.array([3]), low, low.repeat(4, 1).repeat(4, 2)), boundary, displacement


def scores_of(cams, boundary, displacement):
    ends = end_points(torch.from_numpy(displacement)[None], 20)[0].numpy()
    rows = instances.instance_scores(cams, displacement, ends, WEAK, False)
    (walked,) = instances.propagate_all([rows], boundary[None], WalkParams(radius=3, beta=4, steps=200))
    return walked


def test_two_touching_bodies_become_two_instances():
    cams, boundary, displacement = two_blobs()
    walked = scores_of(cams, boundary, displacement)
    assert walked.classes.tolist() == [3, 3]
    full = instances.enlarge(walked.values, (48, 80))
    masks, labels, scores = instances.instances_of(full, walked.classes, 0.3, 0.01)
    assert labels.tolist() == [3, 3] and (scores > 0.3).all()
    left, right = sorted(masks, key=lambda mask: np.flatnonzero(mask.any(0))[0])
    assert left[4:30, 4:32].all() and not left[:, 42:].any()
    assert right[4:30, 44:68].all() and not right[:, :36].any()


def test_without_displacements_the_heads_alone_are_found():
    cams, _, _ = two_blobs()
    masks, labels, scores = instances.instances_of(cams.high, cams.classes, 0.5, 0.01)
    assert [int(mask.sum()) for mask in masks] == [144, 144] and scores.tolist() == [1, 1]


def test_instance_rows_are_class_major():
    cams = Cams(np.array([1, 4]), np.ones((2, 4, 6), np.float32) * [[[1]], [[2]]], np.ones((2, 16, 24)))
    displacement = np.zeros((2, 4, 6), np.float32)
    displacement[:, :, 3] = 9
    ends = np.stack(np.mgrid[:4, :6])
    rows = instances.instance_scores(cams, displacement, ends, WEAK, False)
    assert rows.classes.tolist() == [1, 1, 4, 4]
    assert [row.max() for row in rows.values] == [1, 1, 2, 2]
    faithful = instances.instance_scores(cams, displacement, ends, WEAK, True)
    assert faithful.classes.tolist() == [1, 1, 1, 4, 4, 4]  # the cells that arrive nowhere are one more instance


def test_components_and_their_scores():
    scores = np.zeros((2, 10, 10), np.float32)
    scores[0, :4, :4], scores[0, 2, 2] = 0.6, 0.9
    scores[0, 9, 9] = 0.8  # 1 % of the picture
    scores[1, 5:9, 5:9] = 0.7
    masks, labels, values = instances.instances_of(scores, np.array([2, 0]), 0.5, 0.02)
    assert labels.tolist() == [2, 2, 0]
    assert [int(mask.sum()) for mask in masks] == [16, 1, 16]
    assert values.tolist() == pytest.approx([0.9, 0.0, 0.7])  # too small: kept in the list with score 0


def test_nothing_above_the_background_is_no_instance():
    masks, labels, scores = instances.instances_of(np.zeros((1, 5, 6), np.float32), np.array([0]), 0.5, 0.01)
    assert masks.shape == (0, 5, 6) and len(labels) == len(scores) == 0
    assert instances.instances_of(np.zeros((0, 5, 6), np.float32), np.zeros(0, int), 0.5, 0.01)[0].shape == (0, 5, 6)


def test_semantic_values():
    scores = np.array([[[0.9, 0.1, 0.4]], [[0.2, 0.1, 0.6]]])
    assert instances.semantic_of(scores, np.array([4, 7]), 0.3).tolist() == [[5, 0, 8]]
    assert instances.semantic_of(np.zeros((0, 2, 2)), np.zeros(0, int), 0.3).tolist() == [[0, 0], [0, 0]]


def test_enlarge_divides_by_the_maximum_over_all_rows():
    values = np.array([np.full((3, 4), 2.0), np.full((3, 4), 0.5)])
    full = instances.enlarge(values, (11, 15))
    assert full.shape == (2, 11, 15)
    np.testing.assert_allclose(full, [np.ones((11, 15)), np.full((11, 15), 0.25)], rtol=1e-4)


def test_rows_of_several_pictures_walk_as_if_alone():
    rng = np.random.default_rng(0)
    rows = [Scores(rng.random((n, 8, 9)).astype(np.float32), np.arange(n)) for n in (1, 3)]
    boundaries = rng.random((2, 8, 9)).astype(np.float32)
    walk = WalkParams(radius=3, beta=4, steps=10)
    for number, together in enumerate(instances.propagate_all(rows, boundaries, walk)):
        (alone,) = instances.propagate_all([rows[number]], boundaries[number][None], walk)
        np.testing.assert_allclose(together.values, alone.values, rtol=1e-5)


def test_the_interior_switch():
    rows, boundary = [Scores(np.ones((1, 6, 6), np.float32), np.array([0]))], np.full((1, 6, 6), 0.25, np.float32)
    inside, plain = (
        instances.propagate_all(rows, boundary, WalkParams(radius=3, interior=switch))[0] for switch in (True, False)
    )
    np.testing.assert_allclose(inside.values, 0.75, rtol=1e-5)
    np.testing.assert_allclose(plain.values, 1, rtol=1e-5)
