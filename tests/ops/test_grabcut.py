"""GrabCut from boxes: finds a plain object, stays in the box, repeats itself, falls back."""

import numpy as np
import pytest

from weakseg.metrics.overlap import mask_iou
from weakseg.ops.grabcut import grabcut, pixel_box


def disc(size=80, centre=(40, 36), radius=15, seed=0):
    y, x = np.mgrid[:size, :size]
    mask = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
    picture = np.where(mask[..., None], (200, 80, 60), (60, 120, 90)).astype(float)
    noise = np.random.default_rng(seed).normal(0, 5, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8), mask


BOX = (20, 24, 53, 57)  # the disc with a margin of two pixels


def test_finds_a_disc_and_stays_in_the_box():
    picture, mask = disc()
    found = grabcut(picture, BOX)
    assert mask_iou(found[None], mask[None])[0, 0] > 0.95
    outside = np.ones_like(mask)
    outside[24:57, 20:53] = False
    assert not (found & outside).any()


def test_repeats_itself():
    picture, _ = disc(seed=3)
    first = grabcut(picture, BOX)
    grabcut(picture[::-1].copy(), (3, 3, 30, 40))  # other work in between moves OpenCV's generator
    np.testing.assert_array_equal(first, grabcut(picture, BOX))


def test_a_box_over_the_whole_picture_is_its_own_mask():
    picture, _ = disc()
    assert grabcut(picture, (0, 0, 80, 80)).all()


def test_pixel_box():
    assert pixel_box((-3, 1.4, 9.6, 99), 20, 30) == (0, 1, 10, 20)
    assert pixel_box((10.6, 3.1, 11.2, 3.4), 20, 30) == (10, 3, 11, 4)  # narrower than a pixel, as some of COCO's
    assert pixel_box((29.8, 0, 40, 5), 20, 30) == (29, 0, 30, 5)
    with pytest.raises(ValueError, match="holds no pixel of a picture of 20 x 30"):
        pixel_box((30, 0, 40, 5), 20, 30)
