"""The pipeline figure draws its stations and refuses arrows to nowhere."""

import numpy as np
import pytest
from matplotlib.patches import ConnectionPatch

from weakseg.plots import panels
from weakseg.plots.pipeline import Station, pipeline
from weakseg.plots.style import save

STATIONS = {
    "picture": Station(panels.picture(np.zeros((4, 4, 3), np.uint8)), 0, 0),
    "map": Station(panels.heat(np.eye(4)), 1, 0),
    "other": Station(panels.heat(np.eye(4)), 1, 1),
}


def test_stations_and_arrows_are_all_there():
    figure = pipeline(STATIONS, [("picture", "map"), ("map", "other")], "how it works")
    assert [axes.get_title() for axes in figure.axes] == ["picture", "map", "other"]
    assert sum(isinstance(artist, ConnectionPatch) for artist in figure.artists + figure.patches) == 2
    left, right = figure.axes[0].get_position(), figure.axes[1].get_position()
    assert left.x1 < right.x0 and figure.axes[2].get_position().y1 < right.y0


def test_an_arrow_to_nowhere_is_named():
    with pytest.raises(ValueError, match="'labels'"):
        pipeline(STATIONS, [("map", "labels")], "t")


def test_saving_twice_leaves_the_stations_where_they_are(tmp_path):
    figure = pipeline(STATIONS, [], "t")
    before = [axes.get_position().bounds for axes in figure.axes]
    for name in ("one", "two"):
        save(figure, tmp_path, name, "t")
    assert [axes.get_position().bounds for axes in figure.axes] == before
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
