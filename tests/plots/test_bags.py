"""Bags as lines: their colours are the bags' labels."""

import matplotlib.colors as colours
import numpy as np
from matplotlib.figure import Figure

from weakseg.plots.bags import BOX, NEGATIVE, POSITIVE, bag_lines


def test_lines_have_the_labels_of_their_bags():
    inside = np.zeros((8, 12), bool)
    inside[2:4, 4:8] = True
    axes = Figure().subplots()
    bag_lines(np.zeros((8, 12, 3), np.uint8), inside, (4, 2, 8, 4), every=4)(axes)
    rows = {int(line.get_ydata()[0]): line.get_color() for line in axes.lines if len(set(line.get_ydata())) == 1}
    columns = {int(line.get_xdata()[0]): line.get_color() for line in axes.lines if len(set(line.get_xdata())) == 1}
    assert rows == {2: POSITIVE, 6: NEGATIVE} and columns == {2: NEGATIVE, 6: POSITIVE, 10: NEGATIVE}
    (box,) = axes.patches
    assert box.get_bbox().bounds == (3.5, 1.5, 4, 2) and box.get_edgecolor() == colours.to_rgba(BOX)


def test_no_box_no_rectangle():
    axes = Figure().subplots()
    bag_lines(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), bool), None)(axes)
    assert not axes.patches and {line.get_color() for line in axes.lines} == {POSITIVE}
