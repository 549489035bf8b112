"""Boxes over a picture lie where their pixels are."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from weakseg.plots.boxed import OURS, TRUTH, boxed, scored
from weakseg.plots.panels import picture

IMAGE = np.full((12, 16, 3), 200, np.uint8)


def drawn(panel):
    figure, axes = plt.subplots()
    panel(axes)
    plt.close(figure)
    return axes.patches


def test_boxes_enclose_their_pixels():
    """Pixel k is drawn from k - 0.5 to k + 0.5."""
    found = drawn(boxed(picture(IMAGE), {TRUTH: np.array([[2, 3, 6, 5]]), OURS: np.zeros((0, 4))}))
    assert [patch.get_bbox().extents.tolist() for patch in found] == [[1.5, 2.5, 5.5, 4.5]]
    assert plt.matplotlib.colors.to_hex(found[0].get_edgecolor()) == TRUTH


def test_better_boxes_are_thicker_and_lie_on_top():
    boxes = np.array([[0, 0, 4, 4], [5, 5, 9, 9], [1, 1, 2, 2]])
    found = drawn(scored(picture(IMAGE), boxes, np.array([0.1, 0.4, 0.0])))
    assert [patch.get_x() for patch in found] == [0.5, -0.5, 4.5]
    widths = [patch.get_linewidth() for patch in found]
    assert widths == pytest.approx([0.4, 0.9, 2.4])
    assert len(drawn(scored(picture(IMAGE), boxes[:0], np.zeros(0)))) == 0
