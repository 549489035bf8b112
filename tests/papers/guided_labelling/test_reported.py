"""The reported numbers and the claims: they can be read, they agree with each other, and the paper's own numbers pass
every claim that they can decide."""

import numpy as np
import pytest

from weakseg.study.claims import HELD, claims_of, decide, statistic
from weakseg.study.reported import reported

TABLES = reported("guided_labelling").tables


def paper(table: str, row: str, column: str) -> float | None:
    return TABLES[table].row(row).paper.get(column)


def test_the_tables_of_the_paper():
    assert list(TABLES) == ["table1", "fig3_points", *(f"table{k}" for k in range(2, 6))]
    assert [sum(not row.ours_only for row in TABLES[f"table{k}"].rows) for k in range(1, 6)] == [4, 5, 16, 7, 11]


def test_table_4_is_a_part_of_table_5():
    for row in TABLES["table4"].rows:
        other = TABLES["table5"].row(row.row)
        assert row.paper == other.paper and row.about.items() <= other.about.items()


def test_share_of_full_supervision_is_that_of_the_test_pictures():
    for row in TABLES["table3"].rows:
        test, share = (row.paper.get(column) for column in ("test_mIoU", "FS_percent"))
        assert (test is None) == (share is None)
        if test is not None:
            assert share == pytest.approx(100 * test / 70.3, abs=0.1)


@pytest.mark.parametrize("claim", claims_of("guided_labelling"), ids=lambda claim: claim.id)
def test_the_papers_own_numbers_hold(claim):
    values = [paper(claim.table, cell.row, cell.column) for cell in claim.cells()]
    if None in values:  # a curve of figure 3, which the paper prints without numbers
        assert claim.table == "fig3_points"
        return
    found = float(statistic(claim.kind, *claim.sides(np.array(values))))
    assert decide(claim, found, found) == HELD


def test_every_assertion_of_the_study_is_a_claim():
    tables = {claim.id: claim.table for claim in claims_of("guided_labelling")}
    assert len(tables) >= 20 and set(tables.values()) == set(TABLES)
