"""Maps laid into their boxes: nothing outside, whole pixels, the map's own shape inside."""

import numpy as np
import pytest

from weakseg.ops.paste import pasted, spread, whole_corners


@pytest.mark.parametrize(
    "box, corners",
    [
        ((1.4, 2.6, 5.5, 7.4), (1, 3, 6, 7)),
        ((-3, -3, 99, 99), (0, 0, 20, 10)),
        ((5, 5, 5.2, 5.2), (5, 5, 6, 6)),
        ((25, 15, 30, 30), (19, 9, 20, 10)),
    ],
)
def test_corners_are_whole_and_inside(box, corners):
    assert whole_corners(np.array(box, float), (10, 20)) == corners


def test_the_map_fills_its_box():
    values = np.zeros((2, 2, 2), np.float32)
    values[0, :, 1] = 1.0  # right half
    values[1] = 0.5
    masks = pasted(values, np.array([[2, 1, 10, 5], [0, 0, 3, 3]]), (8, 12), 0.5)
    assert masks.shape == (2, 8, 12)
    right = np.zeros((8, 12), bool)
    right[1:5, 6:10] = True
    assert np.array_equal(masks[0], right)
    assert not masks[1].any()  # the threshold itself does not count
    assert pasted(values[:0], np.zeros((0, 4)), (8, 12), 0.5).shape == (0, 8, 12)


def test_spread_maps_keep_their_values_and_the_highest_wins():
    values = np.stack([np.full((3, 3), 0.4), np.full((3, 3), 0.9)])
    heat = spread(values, np.array([[2, 1, 10, 5], [0, 0, 4, 3]]), (8, 12))
    assert heat.shape == (8, 12) and heat[6].max() == 0
    assert np.allclose(heat[:3, :4], 0.9) and np.allclose(heat[1:5, 4:10], 0.4)
