"""A method that feeds back: a pipeline with arrows that lead to the left."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch

from weakseg.plots.pipeline import Station, pipeline
from weakseg.plots.style import PALETTE, style


@style()
def loop(
    stations: Mapping[str, Station],
    arrows: Sequence[tuple[str, str]],
    back: Sequence[tuple[str, str]],
    title: str,
) -> Figure:
    """`pipeline.pipeline`, and dashed arrows (from, to) back to an earlier station, from left edge to right edge.

    Raises ValueError for an arrow to no station.
    """
    if unknown := [name for arrow in back for name in arrow if name not in stations]:
        raise ValueError(f"loop '{title}': an arrow names '{unknown[0]}'; stations are {', '.join(stations)}")
    figure = pipeline(stations, arrows, title)
    places = dict(zip(stations, figure.axes, strict=True))
    look = dict(arrowstyle="-|>", mutation_scale=9, lw=1.2, ls="--", color=PALETTE["vermilion"])
    for start, end in back:
        ends, frames = ((-0.02, 0.5), (1.02, 0.5)), dict(axesA=places[start], axesB=places[end])
        figure.add_artist(ConnectionPatch(*ends, "axes fraction", "axes fraction", **frames, **look))
    return figure
