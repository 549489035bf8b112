"""Arrows that lead back."""

import numpy as np
import pytest
from matplotlib.patches import ConnectionPatch

from weakseg.plots.loop import loop
from weakseg.plots.panels import heat
from weakseg.plots.pipeline import Station

STATIONS = {name: Station(heat(np.eye(4)), column, 0) for column, name in enumerate(("first", "second", "third"))}


def test_arrows_ahead_and_back_are_drawn_from_edge_to_edge():
    figure = loop(STATIONS, [("first", "second"), ("second", "third")], [("third", "first")], "a loop")
    arrows = [artist for artist in figure.artists if isinstance(artist, ConnectionPatch)]
    assert len(arrows) == 3 and [arrow.get_linestyle() for arrow in arrows] == ["solid", "solid", "--"]
    assert arrows[2].axesA is figure.axes[2] and arrows[2].axesB is figure.axes[0]
    assert arrows[2].xy1[0] < 0 and arrows[2].xy2[0] > 1


def test_an_arrow_to_nowhere_is_named():
    with pytest.raises(ValueError, match="loop 'a loop': an arrow names 'fourth'"):
        loop(STATIONS, [], [("third", "fourth")], "a loop")
