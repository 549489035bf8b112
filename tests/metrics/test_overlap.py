"""Overlaps on packed bits against counting pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.metrics.overlap import mask_iou, pack


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 4), st.integers(0, 4), st.integers(1, 13), st.integers(1, 13), st.integers(0, 2**32 - 1))
def test_equals_counting_pixels(n, m, H, W, seed):
    """Sizes below, at and above the 64 pixels of a word, empty masks among them."""
    rng = np.random.default_rng(seed)
    left, right = (rng.random((k, H, W)) < rng.choice([0, 0.3, 1], (k, 1, 1)) for k in (n, m))
    slow = [[(a & b).sum() / max((a | b).sum(), 1) for b in right] for a in left]
    np.testing.assert_array_equal(mask_iou(left, right), np.array(slow).reshape(n, m))


def test_packing_fills_the_last_word_with_zeros():
    assert pack(np.ones((2, 5, 13), bool)).shape == (2, 2)
    assert np.bitwise_count(pack(np.ones((1, 5, 13), bool))).sum() == 65


def test_different_sizes_are_refused():
    with pytest.raises(ValueError, match="masks of sizes"):
        mask_iou(np.ones((1, 2, 3), bool), np.ones((1, 3, 2), bool))
