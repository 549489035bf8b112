"""MAP subset selection: its objective by hand, and the greedy answer against all subsets."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.baselines.map_select import SelectParams, clashes, log_assignments, mask_overlaps, objective, select

RELEASED = SelectParams()


def test_assignments_by_hand():
    iou = np.array([[1.0, 0.5], [0.5, 1.0]])
    found = np.exp(log_assignments(iou, np.array([0.8, 0.2]), 0.1))
    np.testing.assert_allclose(found, [[0.8 / 1.3, 0.4 / 1.3, 0.1 / 1.3], [0.1 / 0.4, 0.2 / 0.4, 0.1 / 0.4]])


def test_the_objective_by_hand():
    iou = np.array([[1.0, 0.5], [0.5, 1.0]])
    assigned, clash = log_assignments(iou, np.array([0.8, 0.2]), 0.1), clashes(iou, np.array([[1.0, 0.7], [0.7, 1.0]]))
    none = np.log(0.1 / 1.3) + np.log(0.1 / 0.4)
    both = np.log(0.8 / 1.3) + np.log(0.2 / 0.4) + 2 * np.log(0.3) - (0.5 + 0.7) / 2
    assert objective(np.zeros(2, bool), assigned, clash, RELEASED) == pytest.approx(none)
    assert objective(np.ones(2, bool), assigned, clash, RELEASED) == pytest.approx(both)


def squares(*corners, side=40):
    masks = np.zeros((len(corners), side, side), bool)
    for mask, (y, x, size) in zip(masks, corners, strict=True):
        mask[y : y + size, x : x + size] = True
    return masks


def test_a_cluster_of_proposals_is_one_window():
    masks = squares((2, 2, 10), (3, 2, 10), (2, 3, 10), (25, 25, 10), (24, 25, 10))
    kept = select(*mask_overlaps(masks), np.array([0.9, 0.95, 0.9, 0.8, 0.7]), RELEASED)
    assert len(kept) == 2 and sorted(place >= 3 for place in kept) == [False, True]


def test_weak_proposals_explain_nothing():
    masks = squares((2, 2, 10), (25, 25, 10))
    assert not len(select(*mask_overlaps(masks), np.array([0.01, 0.01]), RELEASED))
    assert not len(select(np.zeros((0, 0)), np.zeros((0, 0)), np.zeros(0), RELEASED))
    assert len(select(*mask_overlaps(masks), np.array([0.9, 0.9]), RELEASED)) == 2
    assert len(select(*mask_overlaps(masks), np.array([0.9, 0.9]), SelectParams(most=1))) == 1


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6))
def test_the_greedy_answer_is_a_local_best_and_no_better_than_the_best(seed):
    rng = np.random.default_rng(seed)
    masks = squares(*(rng.integers([0, 0, 8], [25, 25, 15]) for _ in range(5)))
    scores, (iou, contained) = rng.random(5), mask_overlaps(masks)
    assigned, clash = log_assignments(iou, scores, RELEASED.background), clashes(iou, contained)
    chosen = np.zeros(5, bool)
    chosen[select(iou, contained, scores, RELEASED)] = True
    value = objective(chosen, assigned, clash, RELEASED)
    every = [objective(np.array(s), assigned, clash, RELEASED) for s in itertools.product([False, True], repeat=5)]
    assert every[0] - 1e-9 <= value <= max(every) + 1e-9


def test_overlaps_of_masks():
    masks = squares((0, 0, 10), (0, 0, 5), (20, 20, 10))
    iou, contained = mask_overlaps(masks)
    np.testing.assert_allclose(iou, [[1, 0.25, 0], [0.25, 1, 0], [0, 0, 1]])
    np.testing.assert_allclose(contained, [[1, 1, 0], [1, 1, 0], [0, 0, 1]])
