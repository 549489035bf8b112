"""The curves of seeds: steps for a sweep, a point for label maps, the marks of mP."""

import numpy as np
import pytest

from weakseg.metrics import resample, seeds
from weakseg.metrics.seeds import SeedEvidence
from weakseg.plots import seed_curves


def test_curves_and_points_have_their_names():
    truth, confidence = np.array([[1, 1, 0, 0]]), np.array([[0.9, 0.4, 0.6, 0.1]])
    sweep = seeds.collect([("a", np.ones_like(truth), confidence, truth)], 1)
    point = SeedEvidence(np.array([[[2, 1]]]), np.array([[[2, 2]]]), np.array([[2, 2]]), np.zeros(1), np.array(["a"]))
    figure = seed_curves.precision_recall({"a seeder": sweep, "labels": point}, "curves")
    foreground, background = figure.axes
    assert [line.get_label() for line in foreground.lines[:2]] == ["a seeder", "labels"]
    assert foreground.lines[0].get_drawstyle() == "steps-pre" and foreground.lines[1].get_marker() == "s"
    assert (foreground.lines[1].get_xdata()[0], foreground.lines[1].get_ydata()[0]) == (0.5, 0.5)
    assert [line.get_xdata()[0] for line in (foreground.lines[2], background.lines[2])] == [0.2, 0.8]


def read_off(x, y, level):
    """The height of the steps just right of `level`: that of the first corner behind it."""
    return y[np.searchsorted(x, level, side="right")]


def test_corners_by_hand():
    """A threshold without any seed has no precision; the two of recall 0.5 keep their order; the line begins at 0."""
    x, y = seed_curves.corners(np.array([0.9, 0.5, 0.5, 0.1, 0.0]), np.array([0.3, 0.6, 0.7, 1.0, np.nan]))
    assert x.tolist() == [0, 0.1, 0.5, 0.5, 0.9] and y.tolist() == [1.0, 1.0, 0.6, 0.7, 0.3]


def test_seeds_that_jump_over_the_level_are_read_behind_the_jump():
    """First one of ten object pixels is claimed, then all twenty pixels: mP reads 10 / 20, at recall 1."""
    truth = np.array([[1] * 10 + [0] * 10])
    confidence = np.where(np.arange(20) == 0, 0.9, 0.0)[None]
    sweep = seeds.collect([("a", np.ones_like(truth), confidence, truth)], 1)
    found = seeds.curves(sweep)
    assert read_off(*seed_curves.corners(found["foreground_recall"], found["foreground_precision"]), 0.2) == 0.5


@pytest.mark.parametrize("side, metric, level", [("foreground", "FgP20", 0.2), ("background", "BgP80", 0.8)])
@pytest.mark.parametrize("seed", range(5))
def test_the_steps_meet_the_dotted_line_where_mp_reads(side, metric, level, seed):
    rng = np.random.default_rng(seed)
    pictures = [(f"p{k}", rng.integers(1, 3, (4, 5)), rng.random((4, 5)), rng.integers(0, 3, (4, 5))) for k in range(3)]
    sweep = seeds.collect(pictures, 2)
    found = seeds.curves(sweep)
    x, y = seed_curves.corners(found[f"{side}_recall"], found[f"{side}_precision"])
    assert 100 * read_off(x, y, level) == pytest.approx(resample.value(sweep, metric))
