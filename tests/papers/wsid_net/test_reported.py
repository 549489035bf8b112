"""The reported numbers and the claims: they can be read, they agree, and the paper's own numbers pass every claim."""

import numpy as np
import pytest

from weakseg.study.claims import HELD, claims_of, decide, statistic
from weakseg.study.reported import reported

TABLES = reported("wsid_net").tables


def test_the_tables_of_the_paper_and_ours():
    assert list(TABLES) == ["table1", "table2", "supplement_attention", "supplement_backbones", "surrogates"]
    assert [sum(not row.ours_only for row in table.rows) for table in TABLES.values()] == [9, 5, 0, 0, 0]


def test_the_floor_of_table_2_is_irn_and_its_top_is_ours():
    for one, other in (("Ours (w/o DA, BE, L_SU)", "IRN [3]"), ("Ours", "Ours (WSID-Net)")):
        assert TABLES["table2"].row(one).paper == TABLES["table1"].row(other).paper


def test_about_columns_say_what_the_labels_say():
    for row in TABLES["table2"].rows:
        off = row.row.partition("w/o ")[2].rstrip(")").split(", ")
        assert {part for part, there in row.about.items() if there == "no"} == {part for part in off if part}


@pytest.mark.parametrize("claim", claims_of("wsid_net"), ids=lambda claim: claim.id)
def test_the_papers_own_numbers_hold(claim):
    values = [TABLES[claim.table].row(cell.row).paper.get(cell.column) for cell in claim.cells()]
    if claim.id == "counts_bring_the_number_nearer":
        assert values == [None, None]  # the paper prints no count
        return
    found = float(statistic(claim.kind, *claim.sides(np.array(values))))
    assert decide(claim, found, found) == HELD


def test_every_row_of_table_2_is_compared_with_the_floor():
    floor = [claim for claim in claims_of("wsid_net") if "_over_floor_" in claim.id]
    pairs = {(claim.left.row, claim.left.column) for claim in floor}
    others = [row.row for row in TABLES["table2"].rows if row.row != "Ours (w/o DA, BE, L_SU)"]
    assert pairs == {(row, column) for row in others for column in ("mAP@0.5", "mAP@0.7")}


def test_the_larger_gain_is_that_of_the_paper():
    claim = next(claim for claim in claims_of("wsid_net") if claim.id == "gain_is_larger_at_70")
    values = [TABLES[claim.table].row(cell.row).paper[cell.column] for cell in claim.cells()]
    left, right = claim.sides(np.array(values))
    assert left == pytest.approx(47.2 - 37.4) and right == pytest.approx(61.9 - 57.1)
