"""Numbers against numbers."""

import numpy as np
import pandas as pd
import pytest

from weakseg.plots import counts


def test_larger_numbers_share_the_last_row_and_column():
    found = counts.table_of(np.array([1, 2, 9, 6]), np.array([1, 3, 2, 8]), most=6)
    assert found.sum() == 4 and found[1, 1] == found[3, 2] == found[2, 6] == found[6, 6] == 1


def test_the_share_that_is_right_stands_above_each_panel():
    figure = counts.confusion(
        {"a": (np.array([1, 2]), np.array([1, 1])), "b": (np.array([1]), np.array([1]))}, "Counts"
    )
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["a: 50 % right", "b: 100 % right"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["1", "1"]
    with pytest.raises(ValueError, match="figure 'Counts' has no picture to count"):
        counts.confusion({"a": (np.zeros(0, int), np.zeros(0, int))}, "Counts")


def test_curves_are_named():
    figure = counts.curves(
        pd.DataFrame({"gap": [0, 1], "hard": [1, 2], "soft": [1.0, 1.4]}), "gap", ["hard", "soft"], "t"
    )
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["hard count", "soft count"]
