"""The architecture of a network as boxes and arrows, drawn from the network itself (`trace.read_plan`)."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from weakseg.plots.canvas import SHEET, colour
from weakseg.plots.panels import finished
from weakseg.plots.style import style
from weakseg.plots.trace import Block, Plan

WIDTH, HEIGHT = 0.84, 0.62  # of a box, in columns and lanes
LANE = 1.15  # distance of two lanes
WIRE = "0.35"


@style()
def architecture(plan: Plan, lanes: Mapping[str, str], title: str, names: Mapping[str, str] | None = None) -> Figure:
    """Draw a plan. `lanes` maps a lane's title to the path prefix of its parts, top to bottom; `names` renames parts,
    which else go by their path after the prefix.

    A part stands as far right as its predecessors in its lane demand; put the lane that feeds the others between them.
    An arrow that joins several parts is their concatenation or sum. Grey boxes are frozen.
    Raises ValueError for a part that fits no lane.
    """
    rows = [_lane_of(block, list(lanes.values())) for block in plan.blocks]
    columns = _columns(plan, rows)
    figure, axes = plt.subplots(figsize=(1.12 * (max(columns) + 1) + 0.9, 1.35 * len(lanes) + 0.5))
    places = [(float(c), -LANE * r) for c, r in zip(columns, rows, strict=True)]
    for number, block in enumerate(plan.blocks):
        short = block.name.removeprefix(list(lanes.values())[rows[number]]).lstrip(".") or block.name
        _box(axes, places[number], block, (names or {}).get(block.name, short), rows[number])
    for target in range(len(plan.blocks)):
        _arrows(axes, places, [s for s, t in plan.edges if t == target], target)
    for row, lane in enumerate(lanes):
        axes.text(-0.62, -LANE * row, textwrap.fill(lane, 14), ha="right", va="center", fontsize=8, fontweight="bold")
    axes.set(xlim=(-1.9, max(columns) + 0.6), ylim=(-LANE * (len(lanes) - 1) - 0.6, 0.6))
    axes.set_axis_off()
    return finished(figure, title)


def _lane_of(block: Block, prefixes: Sequence[str]) -> int:
    for row, prefix in enumerate(prefixes):
        if block.name.startswith(prefix):
            return row
    raise ValueError(f"part '{block.name}' fits no lane; lanes begin with {', '.join(prefixes)}")


def _columns(plan: Plan, rows: Sequence[int]) -> list[int]:
    """Column of each part: right of its predecessors in its own lane, under or right of those in other lanes."""
    columns: list[int] = []
    for number in range(len(plan.blocks)):
        before = [columns[s] + (rows[s] == rows[number]) for s, t in plan.edges if t == number]
        taken = {columns[other] for other in range(number) if rows[other] == rows[number]}
        column = max(before, default=0)
        while column in taken:
            column += 1
        columns.append(column)
    return columns


def _box(axes: Axes, place: tuple[float, float], block: Block, name: str, row: int) -> None:
    x, y = place
    tint = 0.75 + 0.25 * colour(row) if block.trained else (SHEET,) * 3
    edge = 0.7 * colour(row) if block.trained else "0.4"
    shape = FancyBboxPatch(
        (x - WIDTH / 2, y - HEIGHT / 2),
        WIDTH,
        HEIGHT,
        boxstyle="round,pad=0,rounding_size=0.06",
        fc=tint,
        ec=edge,
        lw=1,
    )
    axes.add_patch(shape)
    axes.text(x, y + 0.2, name, ha="center", va="center", fontsize=7.5, fontweight="bold")
    axes.text(x, y + 0.01, textwrap.fill(block.kind, 18), ha="center", va="center", fontsize=5.2, linespacing=1.0)
    axes.text(x, y - 0.22, f"{block.channels} ch, stride {block.stride}", ha="center", va="center", fontsize=5.8)


def _arrows(axes: Axes, places: Sequence[tuple[float, float]], sources: Sequence[int], target: int) -> None:
    """Straight arrows from the left neighbour or another lane; several parts of one lane join on a line beside it."""
    x, y = places[target]
    far = [s for s in sources if places[s][1] == y and (x - places[s][0] > 1 or len(sources) > 1)]
    for source in sources:
        if source not in far:
            _arrow(axes, places[source], places[target])
    if far:
        _join(axes, [places[s][0] for s in far], (x, y), 0.1 + 0.05 * (target % 3))


def _join(axes: Axes, starts: Sequence[float], end: tuple[float, float], gap: float) -> None:
    x, y = end
    side = 1 if y == 0 else -1  # above the first lane, below the others
    border, line = y + side * HEIGHT / 2, y + side * (HEIGHT / 2 + gap)
    for start in starts:
        axes.plot([start, start], [border, line], color=WIRE, lw=0.9, zorder=0)
    axes.plot([min(starts), x], [line, line], color=WIRE, lw=0.9, zorder=0)
    _tip(axes, (x, line), (x, border))


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    if start[1] == end[1]:
        _tip(axes, (start[0] + WIDTH / 2, start[1]), (end[0] - WIDTH / 2, end[1]))
    else:
        up = HEIGHT / 2 if end[1] > start[1] else -HEIGHT / 2
        _tip(axes, (start[0], start[1] + up), (end[0], end[1] - up))


def _tip(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    arrow = dict(arrowstyle="-|>", color=WIRE, lw=0.9, shrinkA=0, shrinkB=0)
    axes.annotate("", end, start, arrowprops=arrow, zorder=0)
