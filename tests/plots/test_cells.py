"""Tables as bars."""

import matplotlib.pyplot as plt
import pytest

from weakseg.plots.cells import table_bars
from weakseg.study.tables import Measured

TABLE = "table1_pseudo_instance_labels"


def test_every_seed_is_a_dot_and_the_paper_a_diamond():
    cells = [Measured("CAM", "AP50", seed, value, "VOC") for seed, value in enumerate((10.0, 12.0))]
    figure = table_bars("irn", TABLE, "AP50", cells, "Bars")
    axes = figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [11.0]
    drawn = sorted(float(x) for line in axes.lines for x in line.get_xdata())
    assert {10.0, 12.0, 8.6} <= set(drawn)
    plt.close(figure)


def test_a_column_that_the_table_has_not_is_named():
    with pytest.raises(ValueError, match="no column 'mIoU'; there are AP50"):
        table_bars("irn", TABLE, "mIoU", [], "Bars")
