"""Sheets of panels: what they refuse, what they hold, which cases they choose."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from weakseg.plots import panels, sheets

IMAGE = np.full((12, 16, 3), 200, np.uint8)


def titles(figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def test_a_grid_names_its_columns_once_and_its_rows_each():
    row = {"left": panels.picture(IMAGE), "right": panels.heat(np.eye(3))}
    figure = panels.grid({"first": row, "second": row}, "what it shows")
    assert titles(figure) == ["left", "right"]
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == ["first", "second"]
    assert figure.get_suptitle() == "what it shows"


def test_a_grid_whose_rows_differ_names_every_panel():
    figure = panels.grid({"a": {"x": panels.picture(IMAGE)}, "b": {"y": panels.picture(IMAGE)}}, "t")
    assert titles(figure) == ["x", "y"]


@pytest.mark.parametrize("rows", [{}, {"a": {}}])
def test_a_grid_without_panels_is_refused(rows):
    with pytest.raises(ValueError, match="no panel"):
        panels.grid(rows, "empty")


def test_a_sheet_without_cells_is_refused():
    with pytest.raises(ValueError, match="no panel"):
        sheets.contact_sheet([], [], "empty")


def test_a_contact_sheet_keeps_equal_captions_apart():
    figure = sheets.contact_sheet([IMAGE] * 5, ["dog"] * 5, "t", columns=3)
    assert titles(figure) == ["dog"] * 5


def test_figures_leave_nothing_on_the_desk():
    panels.key(["dog", "cat"])
    sheets.maps_row(IMAGE, {"dog": np.eye(4)}, "t")
    assert plt.get_fignums() == []


def test_a_coarse_map_covers_the_whole_picture():
    figure = sheets.maps_row(IMAGE, {"dog": np.eye(4)}, "t")
    assert list(figure.axes[1].images[-1].get_extent()) == [-0.5, 15.5, 11.5, -0.5]


def test_empty_masks_and_maps_are_drawn_without_complaint():
    nothing = np.zeros((0, 12, 16), bool)
    row = {"a": panels.instances(IMAGE, nothing), "b": panels.outlines(IMAGE, nothing)}
    row |= {"c": panels.labels(IMAGE, np.zeros((12, 16), int)), "d": panels.heat(np.zeros((3, 3)), high=None)}
    assert titles(panels.grid({"": row}, "t")) == list("abcd")


def test_a_hidden_picture_says_that_it_is_hidden():
    figure = panels.grid({"": {"a": panels.picture(IMAGE)}}, "t")
    assert [text.get_text() for text in figure.axes[0].texts] == ["photograph,\nnot shown"]
