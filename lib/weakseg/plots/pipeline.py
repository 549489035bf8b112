"""A method as a picture: real intermediate maps as stations, arrows between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch

from weakseg.plots.panels import Panel
from weakseg.plots.style import INK, style

SIDE, PITCH_X, PITCH_Y = 1.15, 1.6, 1.55  # a station's side and the distance of two, in inches


@dataclass(frozen=True)
class Station:
    """One map of the pipeline and its place, in columns from the left and rows from the top (halves allowed)."""

    panel: Panel
    column: float
    row: float


@style()
def pipeline(stations: Mapping[str, Station], arrows: Sequence[tuple[str, str]], title: str) -> Figure:
    """Draw named stations and the arrows (from, to) between them. Raises ValueError for an arrow to no station."""
    if unknown := [name for arrow in arrows for name in arrow if name not in stations]:
        raise ValueError(f"pipeline '{title}': an arrow names '{unknown[0]}'; stations are {', '.join(stations)}")
    width = PITCH_X * max(s.column for s in stations.values()) + SIDE + 0.3
    height = PITCH_Y * max(s.row for s in stations.values()) + SIDE + 0.7
    figure = plt.figure(figsize=(width, height), layout="constrained")
    figure.set_layout_engine("none")  # after another one: saving would replace a bare None by the style's own
    places = {name: _station(figure, name, station, width, height) for name, station in stations.items()}
    for start, end in arrows:
        _arrow(figure, places[start], places[end], stations[start], stations[end])
    figure.suptitle(title, fontsize=9, y=1 - 0.08 / height)
    plt.close(figure)
    return figure


def _station(figure: Figure, name: str, station: Station, width: float, height: float) -> Axes:
    left, top = 0.15 + PITCH_X * station.column, 0.55 + PITCH_Y * station.row
    axes = figure.add_axes((left / width, 1 - (top + SIDE) / height, SIDE / width, SIDE / height))
    station.panel(axes)
    axes.set_title(name, fontsize=7.5, loc="center", pad=3)
    return axes


def _arrow(figure: Figure, start: Axes, end: Axes, here: Station, there: Station) -> None:
    if here.column == there.column:
        down = there.row > here.row
        ends = ((0.5, -0.03 if down else 1.2), (0.5, 1.22 if down else -0.03))
    else:
        ends = ((1.02, 0.5), (-0.02, 0.5))
    arrow = dict(arrowstyle="-|>", mutation_scale=9, lw=1.1, color=INK)
    figure.add_artist(
        ConnectionPatch(ends[0], ends[1], "axes fraction", "axes fraction", axesA=start, axesB=end, **arrow)
    )
