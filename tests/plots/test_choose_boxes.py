"""Boxes against the true ones, by hand."""

import numpy as np

from weakseg.data.sets import open_set
from weakseg.plots.choose_boxes import box_fit, box_quality, corners_of

TRUE = np.array([[0.0, 0, 10, 10], [20, 0, 30, 10]]), np.array([0, 1])


def test_the_fit_is_the_mean_of_the_best_overlaps_within_a_class():
    found = np.array([[0.0, 0, 10, 5], [0, 0, 10, 10], [20, 0, 30, 10]]), np.array([0, 1, 1])
    assert box_fit(found, TRUE) == 75.0
    assert box_fit((np.zeros((0, 4)), np.zeros(0, int)), TRUE) == 0.0
    assert np.isnan(box_fit(found, (np.zeros((0, 4)), np.zeros(0, int))))


def test_true_boxes_fit_themselves(drawn):
    _, pictures, data = drawn
    opened = open_set(pictures, data, "val")
    found = box_quality(opened, lambda name: corners_of(opened, opened.names.index(name)))
    assert set(found) == set(opened.names) and set(found.values()) == {100.0}
