"""AP without classes: over the set, and picture by picture as S4Net's evaluation takes it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.metrics import class_agnostic, instance_ap, resample


def box(y0, y1, x0, x1, side=10):
    mask = np.zeros((side, side), bool)
    mask[y0:y1, x0:x1] = True
    return mask


LEFT, RIGHT, HALF = box(0, 10, 0, 5), box(0, 10, 5, 10), box(0, 6, 0, 5)


def pictures():
    yield "one", (np.array([LEFT, RIGHT]), np.array([0.9, 0.8])), np.array([LEFT, RIGHT])
    yield "two", (np.array([HALF]), np.array([0.95])), np.array([LEFT])


def test_ap_over_the_set_is_instance_ap_with_one_class(tmp_path):
    evidence = class_agnostic.collect(pictures())
    assert instance_ap.mean_ap(evidence, 0.5) == pytest.approx(100)
    assert instance_ap.mean_ap(evidence, 0.7) == pytest.approx(100 * (2 / 3) * (2 / 3))  # ranks: wrong, right, right
    evidence.save(tmp_path / "evidence.npz")
    assert resample.value(resample.load(tmp_path / "evidence.npz"), "AP50") == pytest.approx(100)


def test_ap_per_picture_is_the_mean_over_pictures(tmp_path):
    evidence = class_agnostic.collect_per_picture(pictures())
    assert class_agnostic.mean_picture_ap(evidence, 0.5) == pytest.approx(100)
    assert class_agnostic.mean_picture_ap(evidence, 0.7) == pytest.approx(50)
    assert class_agnostic.mean_picture_ap(evidence, 0.7, np.array([3, 1])) == pytest.approx(75)
    assert class_agnostic.mean_picture_ap(evidence, 0.7, np.eye(2)).tolist() == [100, 0]
    evidence.save(tmp_path / "picture.npz")
    again = class_agnostic.PictureEvidence.load(tmp_path / "picture.npz")
    assert class_agnostic.mean_picture_ap(again, 0.7, released=False) == pytest.approx(50)


def test_the_released_area_by_hand():
    """Two truths; ranked right, wrong, right: (precision, recall) = (1, 1/2), (1/2, 1/2), (2/3, 1)."""
    iou = np.array([[0.9, 0], [0, 0], [0, 0.9]])
    scores = np.array([3.0, 2.0, 1.0])
    released = 0.5 * 0.5 + (0.5 + 1) / 2 * (2 / 3 - 0.5) + (1 + 0.5) / 2 * (1 - 2 / 3)
    plain = 0.5 * 1 + (1 + 2 / 3) / 2 * 0.5
    assert class_agnostic.picture_ap(iou, scores, 0.5) == pytest.approx(released)
    assert class_agnostic.picture_ap(iou, scores, 0.5, released=False) == pytest.approx(plain)


def test_a_wrong_prediction_after_the_right_ones_costs_nothing_in_the_released_form():
    iou, scores = np.array([[0.9], [0.0]]), np.array([2.0, 1.0])
    assert class_agnostic.picture_ap(iou, scores, 0.5) == pytest.approx(1)
    assert class_agnostic.picture_ap(iou, scores[::-1].copy(), 0.5) < 1


def test_the_overlap_must_exceed_the_threshold():
    assert class_agnostic.found_truths(np.array([[0.5]]), 0.5) == 0
    assert class_agnostic.found_truths(np.array([[0.51]]), 0.5) == 1


def test_truths_take_in_their_order():
    iou = np.array([[0.6, 0.9], [0.55, 0.0]])
    assert class_agnostic.found_truths(iou, 0.5) == 1  # the first truth takes the prediction that the second needs
    assert class_agnostic.found_truths(iou[:, ::-1], 0.5) == 2


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 10**6))
def test_the_area_is_a_share_and_perfect_when_perfect(n, m, seed):
    rng = np.random.default_rng(seed)
    iou, scores = rng.random((n, m)), rng.random(n)
    for released in (True, False):
        assert 0 <= class_agnostic.picture_ap(iou, scores, 0.5, released) <= 1
        assert class_agnostic.picture_ap(np.eye(m), rng.random(m), 0.5, released) == pytest.approx(1)


def test_only_twenty_predictions_count():
    iou = np.zeros((21, 1))
    iou[20] = 1
    assert class_agnostic.picture_ap(iou, -np.arange(21.0), 0.5) == 0


def test_pictures_without_truth_or_predictions():
    none = np.zeros((0, 10, 10), bool)
    given_pictures = [
        ("bare", (np.array([LEFT]), np.ones(1)), none),
        ("missed", (none, np.zeros(0)), np.array([LEFT])),
        ("found", (np.array([LEFT]), np.ones(1)), np.array([LEFT])),
    ]
    evidence = class_agnostic.collect_per_picture(given_pictures)
    assert np.isnan(evidence.released[0]).all()
    assert class_agnostic.mean_picture_ap(evidence, 0.5) == pytest.approx(50)
    assert np.isnan(class_agnostic.mean_picture_ap(evidence, 0.5, np.array([1, 0, 0])))


@pytest.mark.parametrize(
    ("predicted", "message"),
    [
        ((np.array([LEFT]), np.ones(2)), "p: 1 masks or boxes, 1 labels, 2 scores"),
        ((np.array([LEFT]), np.array([np.nan])), "p: a score is not a number"),
        ((np.ones((1, 4, 4), bool), np.ones(1)), "p: masks of"),
    ],
)
def test_what_does_not_fit_is_refused(predicted, message):
    with pytest.raises(ValueError, match=message):
        class_agnostic.collect_per_picture([("p", predicted, np.array([LEFT]))])


def test_counts_are_right_or_off_by_so_many(tmp_path):
    evidence = class_agnostic.CountEvidence(np.array([1, 2, 5]), np.array([1, 3, 3]), np.array(["a", "b", "c"]))
    assert class_agnostic.right_counts(evidence) == pytest.approx(100 / 3)
    assert class_agnostic.count_error(evidence) == pytest.approx(1)
    assert class_agnostic.count_error(evidence, np.eye(3)).tolist() == [0, 1, 2]
    evidence.save(tmp_path / "counts.npz")
    assert class_agnostic.right_counts(class_agnostic.CountEvidence.load(tmp_path / "counts.npz")) > 33
