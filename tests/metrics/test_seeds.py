"""Seed precision and recall against a direct confusion matrix at every threshold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.metrics import resample, seeds

C = 2
QUICK = settings(max_examples=30, deadline=None)


def slow_curves(pictures, threshold):
    """(foreground precision, recall, background precision, recall) by painting the label map and counting."""
    confusion = np.zeros((C + 1, C + 1))
    for _, seed, confidence, truth in pictures:
        painted = np.where(confidence >= threshold, seed, 0)
        for true, guess in zip(truth.ravel(), painted.ravel(), strict=True):
            if true != 255:
                confusion[true, guess] += 1
    right = confusion.diagonal()
    with np.errstate(invalid="ignore"):
        precision, recall = right / confusion.sum(0), right / confusion.sum(1)

    def mean(values):
        return np.mean(values[~np.isnan(values)]) if (~np.isnan(values)).any() else np.nan

    return mean(precision[1:]), mean(recall[1:]), precision[0], recall[0]


@st.composite
def picture_sets(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (3, 4)
    return [
        (
            f"p{i}",
            rng.integers(1, C + 1, shape),
            rng.integers(-300, 100, shape) / 100,
            rng.choice([0, 1, 2, 255], shape),
        )
        for i in range(draw(st.integers(1, 3)))
    ]


def test_the_sweep_has_209_thresholds():
    assert len(seeds.THRESHOLDS) == 209
    assert (seeds.THRESHOLDS[0], seeds.THRESHOLDS[-1]) == (-10, 0.99)
    assert (np.diff(seeds.THRESHOLDS) > 0).all()


@QUICK
@given(picture_sets())
def test_equals_counting(pictures):
    curve = seeds.curves(seeds.collect(pictures, C))
    for step in range(0, 209, 8):
        fast = [
            curve[key][step]
            for key in ("foreground_precision", "foreground_recall", "background_precision", "background_recall")
        ]
        np.testing.assert_allclose(fast, slow_curves(pictures, seeds.THRESHOLDS[step]), atol=1e-12)


@QUICK
@given(picture_sets(), st.integers(0, 2**32 - 1))
def test_weights_equal_repeats(pictures, seed):
    weights = np.random.default_rng(seed).integers(0, 3, len(pictures))
    repeated = [picture for picture, times in zip(pictures, weights, strict=True) for _ in range(times)]
    weighted = seeds.mean_precision(seeds.collect(pictures, C), weights)
    np.testing.assert_allclose(weighted, seeds.mean_precision(seeds.collect(repeated, C)), atol=1e-12)


def test_golden(tmp_path):
    """Four object pixels (confidence .9 .7 .5 .3) and six background pixels, one of them at .6, the others at .1.

    Foreground recall above 0.2 is first met by threshold > 0.7: recall 1/4, precision 1. Background recall above 0.8
    is lowest at 5/6, reached for thresholds in (0.1, 0.6]; the first of them, 0.11, has precision 5/5.
    """
    truth = np.array([[1, 1, 1, 1, 0, 0, 0, 0, 0, 0]])
    confidence = np.array([[0.9, 0.7, 0.5, 0.3, 0.6, 0.1, 0.1, 0.1, 0.1, 0.1]])
    evidence = seeds.collect([("a", np.ones_like(truth), confidence, truth)], C)
    assert seeds.mean_precision(evidence) == 100.0
    worse = np.where(confidence == 0.9, 0.6, np.where(confidence == 0.6, 0.9, confidence))
    evidence = seeds.collect([("a", np.ones_like(truth), worse, truth)], C)
    # Now the lowest foreground recall above 0.2 is 1/4 at threshold 0.61..0.7: the seeds are .9 (wrong) and .7 (right).
    assert seeds.mean_precision(evidence) == pytest.approx(50 * (1 / 2 + 1))
    evidence.save(tmp_path / "evidence.npz")
    assert resample.value(resample.load(tmp_path / "evidence.npz"), "mP") == pytest.approx(75.0)


def test_never_reached_and_bad_input():
    truth = np.zeros((1, 3), int)
    blank = seeds.collect([("a", truth + 1, np.zeros((1, 3)), truth)], C)
    assert np.isnan(seeds.mean_precision(blank))
    with pytest.raises(ValueError, match="p1: seeds must lie in 1..2"):
        seeds.collect([("p1", truth, np.zeros((1, 3)), truth)], C)
    with pytest.raises(ValueError, match="p1: seed"):
        seeds.collect([("p1", truth, np.zeros((1, 2)), truth)], C)
