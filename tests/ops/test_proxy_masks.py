"""Merging and agreement: three objects with everything written out, and properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.ops.proxy_masks import agreement, merged


def bits(*rows: str) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


# A sofa (box 0..8 x 0..4, 32 pixels), a person on it (box 2..5 x 0..4, 12) and a cat before both (box 3..8 x 2..4, 10).
BOXES = np.array([[0, 0, 8, 4], [2, 0, 5, 4], [3, 2, 8, 4]])
MASKS = np.stack(
    [
        bits("........", "########", "########", "########"),  # the sofa: its upper row is missing
        bits("..###...", "..###...", "..###...", "..###..."),  # the person: fills the box
        bits("........", "........", "...####.", "...####."),  # the cat: its last column is missing
    ]
)


def test_three_objects_written_out():
    found = merged(MASKS, BOXES)
    assert (found[0] == bits("........", "##...###", "##.....#", "##.....#")).all()
    assert (found[1] == bits("..###...", "..###...", "..#.....", "..#.....")).all()
    assert (found[2] == MASKS[2]).all()
    assert found.sum(0).max() == 1


def test_agreement_of_the_three_objects():
    """Before merging: 24 / 32, 12 / 12, 8 / 10. Merging leaves the extents as they are."""
    assert agreement(MASKS, BOXES).tolist() == pytest.approx([0.75, 1.0, 0.8])
    assert agreement(merged(MASKS, BOXES), BOXES).tolist() == pytest.approx([0.75, 1.0, 0.8])


def test_what_a_threshold_drops():
    kept = agreement(merged(MASKS, BOXES), BOXES)
    assert (kept <= 0.75).tolist() == [True, False, False]
    assert (kept <= 0.95).tolist() == [True, False, True]
    assert not (kept <= 0.0).any()


def test_a_mask_that_loses_its_rim_to_a_smaller_one_agrees_less():
    """The small box covers the right half of the large object's mask: 8 of 16 columns are left."""
    masks, boxes = np.ones((2, 4, 16), bool), np.array([[0, 0, 16, 4], [8, 0, 16, 4]])
    masks[1, :, :8] = False
    assert agreement(merged(masks, boxes), boxes).tolist() == pytest.approx([0.5, 1.0])


def test_the_box_decides_and_not_the_mask():
    """The thin mask of the larger box loses its pixel to the full mask of the smaller box."""
    masks = np.stack([bits("#....", ".#...", "..#.."), bits("###..", "###..", "###..")])
    found = merged(masks, np.array([[0, 0, 5, 3], [0, 0, 3, 3]]))
    assert not found[0].any() and (found[1] == masks[1]).all()
    assert agreement(found, np.array([[0, 0, 5, 3], [0, 0, 3, 3]])).tolist() == [0, 1]


def test_no_object_at_all():
    none = np.zeros((0, 4, 5), bool)
    assert merged(none, np.zeros((0, 4), int)).shape == (0, 4, 5)
    assert agreement(none, np.zeros((0, 4), int)).shape == (0,)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 5), st.integers(0, 10**6))
def test_merging_shares_out_the_union(count, seed):
    rng = np.random.default_rng(seed)
    masks, low = rng.random((count, 6, 7)) < 0.5, rng.integers(0, 4, (count, 2))
    boxes = np.concatenate([low, low + rng.integers(1, 4, (count, 2))], 1)
    found = merged(masks, boxes)
    assert (found.any(0) == masks.any(0)).all() and found.sum(0).max() <= 1 and not (found & ~masks).any()
    # brute force: paint one after another
    canvas = np.full((6, 7), -1)
    size = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for number in sorted(range(count), key=lambda k: -size[k]):
        canvas[masks[number]] = number
    assert all((found[k] == (canvas == k)).all() for k in range(count))
    assert ((agreement(found, boxes) >= 0) & (agreement(found, boxes) <= 1)).all()
