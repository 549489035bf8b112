"""Charts show the numbers they are given."""

import numpy as np
import pandas as pd
import pytest

from weakseg.metrics import instance_ap
from weakseg.plots import charts

SWEEP = pd.DataFrame({"beta": [1, 1, 4, 4], "seed": [0, 1, 0, 1], "AP50": [10.0, 14.0, 30.0, 40.0]})


def test_a_sweep_draws_the_mean_and_marks_what_is_used():
    axes = charts.sweep(SWEEP, "beta", ["AP50"], "t", chosen=4, log=True).axes[0]
    curve, used = axes.lines
    assert curve.get_xydata().tolist() == [[1, 12], [4, 35]]
    assert set(used.get_xdata()) == {4} and axes.get_xscale() == "log"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "4"]
    assert axes.get_xlabel() == "beta" and axes.get_ylabel() == "AP50 (%)"


def test_a_sweep_names_the_missing_column():
    with pytest.raises(ValueError, match="no column AP70"):
        charts.sweep(SWEEP, "beta", ["AP70"], "t")


def test_bars_are_means_with_a_dot_for_each_seed_and_the_papers_diamond():
    frame = pd.DataFrame({"row": ["CAM", "CAM", "IRN"], "AP50": [8.0, 10.0, 40.0]})
    axes = charts.bars(frame, "AP50", "t", paper={"CAM": 8.6, "IRN": None}).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [9, 40]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["CAM", "IRN"]
    assert axes.lines[0].get_xdata().tolist() == [8, 10]
    assert list(axes.lines[-1].get_xdata()) == [8.6]


def test_losses_and_curves_have_a_panel_or_a_line_each():
    log = pd.DataFrame({"step": np.arange(1, 41), "loss": np.arange(40.0), "boundary": np.ones(40)})
    assert [axes.get_title("left") for axes in charts.losses(log, ["loss", "boundary"], "t").axes] == [
        "loss",
        "boundary",
    ]
    steps = (np.array([0.0, 1.0]), np.array([1.0, 0.5]), 75.0)
    legend = charts.precision_recall({"dog": steps}, "t").axes[0].get_legend()
    assert legend.get_texts()[0].get_text() == "dog: 75.0"


def test_losses_stand_at_their_steps_and_not_at_the_rows_of_the_log():
    """150 steps, logged every ten: the axis ends at 150, with 15 points of each curve."""
    log = pd.DataFrame({"step": np.arange(10, 151, 10), "loss": np.linspace(2, 1, 15)})
    axes = charts.losses(log, ["loss"], "t").axes[0]
    assert [line.get_xdata().tolist() for line in axes.lines] == [list(range(10, 151, 10))] * 2
    assert axes.get_xlabel() == "step" and axes.get_xlim()[1] > 150


def test_a_ranked_curve_is_that_of_the_metric():
    mask = np.zeros((3, 4, 6), bool)
    mask[0, :2], mask[1, 2:], mask[2, :, :1] = True, True, True
    truth = mask[:2], np.array([1, 1])
    guess = mask[[0, 2, 1]], np.array([1, 1, 1]), np.array([0.9, 0.5, 0.7])
    evidence = instance_ap.collect([("a", guess, truth)], classes=2)
    recall, precision, ap = charts.ranked_curve(evidence, label=1)
    np.testing.assert_allclose(recall, [0.5, 1, 1])
    np.testing.assert_allclose(precision, [1, 1, 2 / 3])
    assert ap == pytest.approx(100)
    assert charts.ranked_curve(evidence, label=0)[2] == 0


def test_a_histogram_counts_every_picture_and_marks_the_median():
    axes = charts.histogram([0, 5, 55, 95, 100], "IoU (%)", "t").axes[0]
    assert [bar.get_height() for bar in axes.patches] == [2, 0, 0, 0, 0, 1, 0, 0, 0, 2]
    assert set(axes.lines[0].get_xdata()) == {55}
