"""The reported numbers and the claims: they can be read, they agree where tables share a network, and the paper's own
numbers pass every claim."""

import numpy as np
import pytest

from weakseg.papers.community_learning import rows
from weakseg.study.claims import HELD, claims_of, decide, statistic
from weakseg.study.reported import reported

TABLES = reported("community_learning").tables


def paper(table: str, row: str, column: str) -> float | None:
    return TABLES[table].row(row).paper.get(column)


def test_the_tables_of_the_paper():
    assert list(TABLES) == [f"table{k}" for k in range(1, 8)]
    assert [sum(not row.ours_only for row in table.rows) for table in TABLES.values()] == [8, 3, 4, 5, 3, 3, 4]


@pytest.mark.parametrize(
    "table, changes",
    [("table3", rows.TABLE3), ("table4", rows.TABLE4), ("table6", rows.TABLE6), ("table7", rows.TABLE7)],
)
def test_every_row_of_an_ablation_can_be_run(table, changes):
    assert [row.row for row in TABLES[table].rows] == list(changes)


def test_tables_agree_where_they_print_one_network():
    """Three networks stand in two tables or more; the CorLoc of the full one is the paper's own slip."""
    assert paper("table3", "Detector + IMG", "seg_mAP0.5") == paper("table7", "3 (ours)", "mAP0.5")
    assert paper("table3", "Detector + IMG + IS", "seg_mAP0.5") == paper("table4", "All", "mAP0.5")
    assert paper("table3", "Detector + IMG + IS", "det_CorLoc") == paper("table6", "Ours w/o REG", "CorLoc")
    assert paper("table1", "Ours", "mAP0.5") == paper("table5", "Ours", "mAP0.5")
    assert paper("table3", "Detector + REG + IMG + IS", "det_mAP") == paper("table6", "Ours (class-agnostic)", "mAP")
    full = (
        paper("table3", "Detector + REG + IMG + IS", "det_CorLoc"),
        paper("table6", "Ours (class-agnostic)", "CorLoc"),
    )
    assert full == (70.8, 70.1)


@pytest.mark.parametrize("claim", claims_of("community_learning"), ids=lambda claim: claim.id)
def test_the_papers_own_numbers_hold(claim):
    values = np.array([paper(claim.table, cell.row, cell.column) for cell in claim.cells()], float)
    found = float(statistic(claim.kind, *claim.sides(values)))
    assert decide(claim, found, found) == HELD
