"""Tag AP against hand-worked values and a loop over thresholds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.metrics import resample, tags

QUICK = settings(max_examples=60, deadline=None)


def slow_ap(scores, tags_, weights):
    """Sum over thresholds of precision times recall gained, thresholds being the distinct scores from above."""
    positives = sum(w for t, w in zip(tags_, weights, strict=True) if t)
    if positives == 0:
        return float("nan")
    area, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        kept = [(t, w) for s, t, w in zip(scores, tags_, weights, strict=True) if s >= threshold]
        right = sum(w for t, w in kept if t)
        total = sum(w for _, w in kept)
        if total:
            area += (right / positives - before) * right / total
        before = right / positives
    return area


def evidence_of(scores, tags_):
    return tags.TagEvidence(np.asarray(scores), np.asarray(tags_), np.array([f"p{i}" for i in range(len(scores))]))


def test_golden():
    """Positives at ranks 1 and 3: (1/1 + 2/3) / 2."""
    evidence = evidence_of([[0.9], [0.8], [0.7]], [[1], [0], [1]])
    assert tags.mean_average_precision(evidence) == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert resample.value(evidence, "mAP") == tags.mean_average_precision(evidence)


def test_ties_enter_together():
    """All four tie, one positive: precision 1/4 whatever the order."""
    for place in range(4):
        tag = np.zeros((4, 1))
        tag[place] = 1
        assert tags.mean_average_precision(evidence_of(np.zeros((4, 1)), tag)) == 25.0


@QUICK
@given(st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_equals_the_loop_and_weights_equal_repeats(count, seed):
    rng = np.random.default_rng(seed)
    scores, tag = rng.integers(0, 4, (count, 3)) / 4, rng.integers(0, 2, (count, 3))
    weights = rng.integers(0, 3, count)
    fast = tags.average_precision(evidence_of(scores, tag), weights)
    slow = [slow_ap(scores[:, c].tolist(), tag[:, c].tolist(), weights.tolist()) for c in range(3)]
    np.testing.assert_allclose(fast, slow, atol=1e-12)
    again = np.repeat(np.arange(count), weights)
    repeated = tags.average_precision(evidence_of(scores[again].reshape(-1, 3), tag[again].reshape(-1, 3)))
    np.testing.assert_allclose(fast, repeated, atol=1e-12)


def test_class_without_pictures_is_left_out():
    evidence = evidence_of([[0.9, 0.1], [0.8, 0.2]], [[1, 0], [0, 0]])
    assert tags.average_precision(evidence) == pytest.approx([1.0, np.nan], nan_ok=True)
    assert tags.mean_average_precision(evidence) == 100.0


def test_bad_input():
    with pytest.raises(ValueError, match="all must agree"):
        tags.mean_average_precision(evidence_of(np.zeros((2, 2)), np.zeros((2, 3))))
    with pytest.raises(ValueError, match="not a number"):
        tags.mean_average_precision(evidence_of(np.full((1, 1), np.nan), np.ones((1, 1))))
