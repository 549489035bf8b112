"""The hand-drawn cases say what the lesson says of them."""

import numpy as np
import pytest

from weakseg.ops.proxy_masks import agreement, merged
from weakseg.papers.boxcaseg import cases

BOX, SIZE = (12, 10, 36, 32), (48, 48)


def test_bags_cannot_tell_what_fills_a_box():
    inside = cases.filled(BOX, SIZE)
    bags = {name: cases.losses(mask, inside)["bags"] for name, mask in cases.shapes(BOX, SIZE).items()}
    assert max(bags[name] for name in ("ellipse", "whole box", "cross", "diagonal")) < 0.01
    assert min(bags["left half"], bags["beyond the box"]) > 0.5


def test_shapes_touch_all_four_sides_where_they_claim_it():
    for name, mask in list(cases.shapes(BOX, SIZE).items())[:4]:
        assert agreement(mask[None], np.array([BOX]))[0] == 1, name


def test_the_surface_is_lowest_where_the_box_is_touched():
    scales = np.linspace(0.4, 1.4, 11)
    values = cases.surface(BOX, SIZE, scales)
    low = np.unravel_index(values.argmin(), values.shape)
    assert values.shape == (11, 11) and scales[low[0]] == pytest.approx(1) and scales[low[1]] == pytest.approx(1)
    assert values[0].min() > values[low] and values[-1].min() > values[low]


def test_three_objects_and_who_keeps_what():
    """The small box keeps its 16 pixels, the next one loses 4 of 72 to it, the large one its right side to that."""
    masks, boxes = cases.three_objects()
    owned = merged(masks, boxes)
    assert masks.sum((1, 2)).tolist() == [100, 16, 72]
    assert owned.sum((1, 2)).tolist() == [100 - 16 - 40 + 4, 16, 68]
    assert agreement(owned, boxes).tolist() == pytest.approx([0.6, 1.0, 1.0])
