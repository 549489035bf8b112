"""The cells of a table as a picture."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from weakseg.plots import charts
from weakseg.study.reported import reported_table
from weakseg.study.tables import Measured


def table_bars(paper: str, table: str, column: str, cells: Sequence[Measured], title: str) -> Figure:
    """Bars of one column of a table: ours with a dot for each seed, the paper's numbers as diamonds.

    Raises ValueError for a table or column that params/reported/<paper>.yaml does not have.
    """
    spec = reported_table(paper, table)
    if column not in spec.columns:
        raise ValueError(f"{table}: no column '{column}'; there are {', '.join(spec.columns)}")
    frame = pd.DataFrame([{"row": m.row, column: m.value} for m in cells if m.column == column])
    return charts.bars(frame, column, title, {row.row: row.paper.get(column) for row in spec.rows})
