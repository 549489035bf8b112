"""What lies inside a network: a vector as bars, and early maps that are hidden with the pictures."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from weakseg.plots import inner
from weakseg.plots.canvas import show_pictures


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def test_a_strip_has_a_bar_for_each_channel(axes):
    inner.strip(np.array([0.2, 0.9, 0.0]), 1.0)(axes)
    assert [patch.get_height() for patch in axes.patches] == [0.2, 0.9, 0.0] and axes.get_ylim() == (0, 1)


@pytest.mark.parametrize("layout", ["menagerie", "voc"])
def test_early_maps_of_photographs_are_hidden(axes, layout):
    show_pictures(SimpleNamespace(layout=layout))
    values = np.random.default_rng(0).random((6, 6))
    inner.early(values, np.zeros((6, 6, 3), np.uint8))(axes)
    shown = axes.images[0].get_array()
    assert np.array_equal(np.asarray(shown), values) == (layout == "menagerie")
    assert len(axes.texts) == (layout == "voc")
    show_pictures(None)
