"""Mean IoU against hand-worked values and a loop over pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.metrics import resample, semantic

K = 4
QUICK = settings(max_examples=40, deadline=None)


def slow_iou(pictures, void=255):
    result = []
    for label in range(K):
        both = either = 0
        for _, predicted, truth in pictures:
            for guess, true in zip(predicted.ravel(), truth.ravel(), strict=True):
                if true != void:
                    both += guess == label and true == label
                    either += guess == label or true == label
        result.append(both / either if either else float("nan"))
    return np.array(result)


@st.composite
def picture_sets(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pictures = []
    for number in range(draw(st.integers(1, 4))):
        shape = (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
        truth = rng.choice([0, 1, 2, 3, 255], shape)
        predicted = np.where(rng.random(shape) < 0.5, truth, rng.integers(0, K, shape))
        predicted[(predicted == 255)] = 0
        pictures.append((f"p{number}", predicted.astype(np.uint8), truth.astype(np.uint8)))
    return pictures


def test_golden():
    """Label 1: 2 right of 3 true and 3 claimed -> 2/4; background: 1 right, 1 missed, 1 wrongly claimed -> 1/3."""
    truth = np.array([[1, 1, 1, 0, 0, 255]], np.uint8)
    guess = np.array([[1, 1, 0, 0, 1, 3]], np.uint8)
    evidence = semantic.collect([("a", guess, truth)], K)
    assert semantic.iou(evidence) == pytest.approx([1 / 3, 2 / 4, np.nan, np.nan], nan_ok=True)
    assert semantic.mean_iou(evidence) == pytest.approx(100 * (1 / 3 + 1 / 2) / 2)
    assert resample.value(evidence, "mIoU") == semantic.mean_iou(evidence)


@QUICK
@given(picture_sets())
def test_equals_a_loop_over_pixels(pictures):
    np.testing.assert_allclose(semantic.iou(semantic.collect(pictures, K)), slow_iou(pictures), atol=1e-12)


@QUICK
@given(picture_sets(), st.integers(0, 2**32 - 1))
def test_weights_equal_repeated_pictures(pictures, seed):
    weights = np.random.default_rng(seed).integers(0, 4, len(pictures))
    repeated = [picture for picture, times in zip(pictures, weights, strict=True) for _ in range(times)]
    weighted = semantic.iou(semantic.collect(pictures, K), weights)
    np.testing.assert_allclose(weighted, semantic.iou(semantic.collect(repeated, K)), atol=1e-12)


@QUICK
@given(picture_sets(), st.permutations(range(K)))
def test_relabelling_permutes(pictures, new_label):
    table = np.full(256, 255, np.uint8)
    table[:K] = new_label
    renamed = [(name, table[predicted], table[truth]) for name, predicted, truth in pictures]
    before, after = (semantic.iou(semantic.collect(each, K)) for each in (pictures, renamed))
    np.testing.assert_array_equal(after[list(new_label)], before)


def test_void_and_empty():
    everything_void = ("a", np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8))
    assert np.isnan(semantic.mean_iou(semantic.collect([everything_void], K)))
    assert np.isnan(semantic.mean_iou(semantic.collect([], K)))


def test_round_trip(tmp_path):
    evidence = semantic.collect([("a", np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8))], K)
    evidence.save(tmp_path / "evidence.npz")
    back = resample.load(tmp_path / "evidence.npz")
    np.testing.assert_array_equal(back.confusion, evidence.confusion)
    assert back.names.tolist() == ["a"]


def test_bad_input_names_the_picture():
    with pytest.raises(ValueError, match="p1: predicted map"):
        semantic.collect([("p1", np.zeros((2, 2)), np.zeros((2, 3)))], K)
    with pytest.raises(ValueError, match="p1: predicted label 0..4 outside 0..3"):
        semantic.collect([("p1", np.array([[0, 4]]), np.zeros((1, 2)))], K)
    with pytest.raises(ValueError, match="p1: true label 9..9"):
        semantic.collect([("p1", np.zeros((1, 1)), np.full((1, 1), 9))], K)
