"""Joint augmentations keep pictures and labels together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.nets import augment


def pair(height=20, width=30):
    """A picture whose every pixel tells its place, and labels that say the same."""
    labels = (np.add.outer(np.arange(height) * 7, np.arange(width)) % 200).astype(np.uint8)
    return np.repeat(labels[..., None], 3, -1), labels


def agree(picture, labels):
    inside = labels != augment.VOID
    assert (picture[inside] == labels[inside][:, None]).all()
    assert (picture[~inside] == augment.MEAN_COLOUR).all()


@given(st.integers(5, 40), st.integers(5, 40), st.integers(8, 33), st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_crop_and_flip_move_both_alike(height, width, side, seed):
    rng = np.random.default_rng(seed)
    picture, labels = augment.random_crop(*augment.random_flip(*pair(height, width), rng), side, rng)
    assert picture.shape == (side, side, 3) and labels.shape == (side, side)
    agree(picture, labels)
    assert (labels != augment.VOID).sum() == min(side, height) * min(side, width)


@pytest.mark.parametrize(("top", "left"), [(0, 0), (3, 5), (-4, 2), (-2, -6)])
def test_window_by_place(top, left):
    picture, labels = pair(10, 12)
    framed, moved = augment.window(picture, labels, 14, 16, top, left)
    agree(framed, moved)
    for y, x in np.ndindex(14, 16):
        inside = 0 <= y - top < 10 and 0 <= x - left < 12
        assert moved[y, x] == (labels[y - top, x - left] if inside else 255)


def test_crops_reach_every_place():
    places = {tuple(augment.random_crop(*pair(6, 6), 5, np.random.default_rng(s))[1][0, :1]) for s in range(40)}
    assert len(places) == 4


def test_flip_is_a_mirror_image_half_of_the_time():
    picture, labels = pair()
    flipped = [augment.random_flip(picture, labels, np.random.default_rng(s))[1] for s in range(60)]
    mirrored = sum(np.array_equal(f, labels[:, ::-1]) for f in flipped)
    assert 15 < mirrored < 45 and all(np.array_equal(f, labels[:, ::-1]) or np.array_equal(f, labels) for f in flipped)


def test_scales():
    picture, labels = augment.random_long_side(*pair(20, 40), (80, 80), np.random.default_rng(0))
    assert picture.shape == (40, 80, 3) and labels.shape == (40, 80)
    picture, labels = augment.random_scale(*pair(20, 40), (0.5, 1.5), np.random.default_rng(0))
    assert picture.shape[:2] == labels.shape and 10 <= labels.shape[0] <= 30
    assert set(np.unique(labels)) <= set(np.unique(pair(20, 40)[1]))  # nearest: no new label values


def test_without_labels():
    assert augment.random_crop(pair()[0], None, 8, np.random.default_rng(0))[1] is None


@given(st.lists(st.sampled_from([(8, 8), (8, 12), (12, 8)]), max_size=40), st.integers(1, 5))
@settings(deadline=None, max_examples=30)
def test_batches_hold_every_picture_once(sizes, limit):
    pictures = [np.full((*size, 3), number % 256, np.uint8) for number, size in enumerate(sizes)]
    seen = []
    for positions, batch in augment.same_size_batches(iter(pictures), limit):
        assert len(positions) <= limit
        for position, picture in zip(positions, batch, strict=True):
            assert tuple(picture.shape[1:]) == sizes[position]
            assert round(float(picture[0, 0, 0]) * 255) == position % 256
        seen += positions
    assert sorted(seen) == list(range(len(sizes)))
