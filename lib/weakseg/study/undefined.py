"""Metrics that have no value, such as the precision of labels that label nothing: cells with a reason, not a number."""

import math
from collections.abc import Sequence

from weakseg.study.tables import Measured


def apart(cells: Sequence[Measured], why: str) -> tuple[list[Measured], dict[tuple[str, str], str]]:
    """The cells that have a number, and the reason `why` for each (row, column) that has none for any seed."""
    with_number = [cell for cell in cells if math.isfinite(cell.value)]
    there = {(cell.row, cell.column) for cell in with_number}
    return with_number, {(c.row, c.column): why for c in cells if (c.row, c.column) not in there}
