"""The curves of seeds: a line for a sweep, a point for label maps, the marks of mP."""

import numpy as np

from weakseg.metrics import seeds
from weakseg.metrics.seeds import SeedEvidence
from weakseg.plots import seed_curves


def test_curves_and_points_have_their_names():
    truth, confidence = np.array([[1, 1, 0, 0]]), np.array([[0.9, 0.4, 0.6, 0.1]])
    sweep = seeds.collect([("a", np.ones_like(truth), confidence, truth)], 1)
    point = SeedEvidence(np.array([[[2, 1]]]), np.array([[[2, 2]]]), np.array([[2, 2]]), np.zeros(1), np.array(["a"]))
    figure = seed_curves.precision_recall({"a seeder": sweep, "labels": point}, "curves")
    foreground, background = figure.axes
    assert [line.get_label() for line in foreground.lines[:2]] == ["a seeder", "labels"]
    assert len(foreground.lines[0].get_xdata()) == 209 and foreground.lines[1].get_marker() == "s"
    assert (foreground.lines[1].get_xdata()[0], foreground.lines[1].get_ydata()[0]) == (0.5, 0.5)
    assert [line.get_xdata()[0] for line in (foreground.lines[2], background.lines[2])] == [0.2, 0.8]
