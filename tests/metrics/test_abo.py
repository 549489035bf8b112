"""Average best overlap against hand-worked values and a slow loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.metrics import abo, resample

C = 3
QUICK = settings(max_examples=40, deadline=None)


def rows(*lengths):
    """One-row masks that cover the first pixels of 20."""
    masks = np.zeros((len(lengths), 1, 20), dtype=bool)
    for mask, length in zip(masks, lengths, strict=True):
        mask[0, :length] = True
    return masks


def test_golden(tmp_path):
    """Class 0: 8/10 and 0 (its only rival has another class) -> 0.4; class 1: 5/10; class 2 absent."""
    predicted = (rows(6, 8, 5), np.array([0, 0, 1]), np.ones(3))
    nothing = (rows(), np.zeros(0, int), np.zeros(0))
    pictures = [
        ("a", predicted, (rows(10, 10), np.array([0, 1]))),
        ("b", nothing, (rows(10), np.array([0]))),
    ]
    evidence = abo.collect(pictures, C)
    assert abo.best_overlap(evidence) == pytest.approx([0.4, 0.5, np.nan], nan_ok=True)
    evidence.save(tmp_path / "evidence.npz")
    assert resample.value(resample.load(tmp_path / "evidence.npz"), "ABO") == pytest.approx(45.0)
    assert abo.share_above(evidence, 0.5) == pytest.approx(200 / 3)


def test_paired_masks_meet_their_own_object():
    """The second proxy would fit the first object better; it is compared with its own."""
    evidence = abo.collect_paired([("a", rows(5, 10), rows(10, 20), np.array([0, 1]))], C)
    assert evidence.overlap.tolist() == [0.5, 0.5]
    with pytest.raises(ValueError, match="p1: 1 proxy masks for 2 objects"):
        abo.collect_paired([("p1", rows(1), rows(1, 2), np.zeros(2, int))], C)


@QUICK
@given(st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_equals_a_slow_loop_and_weights_equal_repeats(count, seed):
    rng = np.random.default_rng(seed)
    pictures = []
    for number in range(count):
        n, m = rng.integers(0, 4, 2)
        predicted = (rng.random((n, 4, 4)) < 0.5, rng.integers(0, C, n), rng.random(n))
        pictures.append((f"p{number}", predicted, (rng.random((m, 4, 4)) < 0.5, rng.integers(0, C, m))))
    weights = rng.integers(0, 3, count)
    best = [[] for _ in range(C)]
    for (_, (masks, labels, _), (truths, truth_labels)), times in zip(pictures, weights, strict=True):
        for truth, c in zip(truths, truth_labels, strict=True):
            rivals = [m for m, label in zip(masks, labels, strict=True) if label == c]
            overlaps = [(m & truth).sum() / max((m | truth).sum(), 1) for m in rivals]
            best[c] += [max(overlaps, default=0.0)] * int(times)
    slow = [np.mean(each) if each else np.nan for each in best]
    np.testing.assert_allclose(abo.best_overlap(abo.collect(pictures, C), weights), slow, atol=1e-12)
