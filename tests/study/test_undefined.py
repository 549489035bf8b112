"""A metric without a value becomes a reason, and only where no seed has one."""

import math

from weakseg.study.tables import Measured
from weakseg.study.undefined import apart


def test_only_cells_without_any_number_get_a_reason():
    values = {("a", 0): 3.0, ("a", 1): math.nan, ("b", 0): math.nan, ("b", 1): math.inf}
    cells = [Measured(row, "precision", seed, value, "p") for (row, seed), value in values.items()]
    kept, reasons = apart(cells, "labels nothing")
    assert [(cell.row, cell.seed) for cell in kept] == [("a", 0)]
    assert reasons == {("b", "precision"): "labels nothing"}
