"""A number over two settings."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from weakseg.plots.surface import surface


def test_a_surface_has_named_axes_and_a_scale():
    figure, axes = plt.subplots()
    surface(np.add.outer([0.0, 1, 2], [0.0, 2]), [0.5, 1.0], [1, 2, 3], "width", "height")(axes)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("width", "height") and len(figure.axes) == 2
    plt.close(figure)


def test_values_must_fit_their_settings():
    with pytest.raises(ValueError, match=r"values of \(2, 2\) for 3 of height and 2 of width"):
        surface(np.zeros((2, 2)), [1, 2], [1, 2, 3], "width", "height")
