"""A table of words as a figure, for tables that hold no numbers to be judged."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from weakseg.plots.canvas import SHEET
from weakseg.plots.panels import finished
from weakseg.plots.style import style

LINE, LETTER = 0.19, 0.062  # height of a line and width of a letter, in inches


@style()
def text_table(frame: pd.DataFrame, title: str) -> Figure:
    """Every cell of the frame as text, its index and columns as headings. Raises ValueError for an empty frame."""
    if frame.empty:
        raise ValueError(f"figure '{title}' has no cell to write: give the frame at least one row and one column")
    columns = [[str(name), *map(str, frame[name])] for name in frame.columns]
    columns = [["", *map(str, frame.index)], *columns]
    widths = [LETTER * max(map(len, column)) + 0.15 for column in columns]
    figure, axes = plt.subplots(figsize=(sum(widths), LINE * (len(frame) + 1) + 0.35))
    for row in range(0, len(frame) + 1, 2):
        axes.axhspan(row - 0.5, row + 0.5, color=str(SHEET + 0.03), lw=0)
    left = 0.0
    for number, (column, width) in enumerate(zip(columns, widths, strict=True)):
        for row, text in enumerate(column):
            weight = "bold" if row == 0 or number == 0 else "normal"
            axes.text(left + 0.05, row, text, fontsize=6.5, va="center", fontweight=weight)
        left += width
    axes.set(xlim=(0, left), ylim=(len(frame) + 0.5, -0.5))
    axes.set_axis_off()
    return finished(figure, title)
