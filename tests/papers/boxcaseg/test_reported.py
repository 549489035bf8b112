"""The reported numbers and the claims can be read, agree with each other, and the paper's own numbers pass."""

import pytest

from weakseg.study.claims import claims_of
from weakseg.study.reported import reported

TABLES = reported("boxcaseg").tables


def paper(table: str, cell) -> float | None:
    return TABLES[table].row(cell.row).paper.get(cell.column)


def test_the_tables_of_the_paper():
    assert list(TABLES) == [f"table{k}" for k in range(1, 9)]
    counts = [sum(not row.ours_only for row in TABLES[f"table{k}"].rows) for k in range(1, 9)]
    assert counts == [19, 4, 6, 5, 8, 7, 6, 5]


def test_tables_that_repeat_each_other_agree():
    heads, alphas = TABLES["table4"], TABLES["table6"]
    for row, alpha in (("Weak + Trans.", "0.0"), ("Weak + Salient", "1.0"), ("Weak + Salient + Trans.", "0.7")):
        assert heads.row(row).paper == alphas.row(f"alpha {alpha}").paper
    full = TABLES["table1"].row("BoxCaseg, ResNet-101").paper
    every, dropped = TABLES["table3"].row("All").paper, TABLES["table7"].row("PASCAL merge + drop").paper
    assert (full["AP50"], full["AP75"]) == (every["AP@50"], every["AP@75"]) == (dropped["AP50"], dropped["AP75"])
    merged = TABLES["table8"]
    assert TABLES["table7"].row("COCO merge").paper["AP"] == merged.row("threshold 0.0").paper["COCO_AP"]
    assert TABLES["table7"].row("COCO merge + drop").paper["AP"] == merged.row("threshold 0.95").paper["COCO_AP"]


def test_the_one_number_that_differs_between_tables():
    """IoU@50 of the whole method: 83.8 in table 3, 83.4 in tables 4 and 6."""
    assert TABLES["table3"].row("All").paper["IoU@50"] == 83.8
    assert TABLES["table4"].row("Weak + Salient + Trans.").paper["IoU@50"] == 83.4


def test_a_higher_threshold_drops_more():
    rates = [row.paper["drop_rate"] for row in TABLES["table8"].rows]
    assert rates == sorted(rates) and rates[0] == 0 and rates[-1] == 80


@pytest.mark.parametrize("claim", claims_of("boxcaseg"), ids=lambda claim: claim.id)
def test_the_papers_own_numbers_hold(claim):
    left, right = paper(claim.table, claim.left), paper(claim.table, claim.right)
    if left is None or right is None:
        assert any(TABLES[claim.table].row(cell.row).ours_only for cell in (claim.left, claim.right))
        return
    if claim.kind == "differs_by_at_most":
        assert abs(left - right) <= claim.margin
        return
    margin = claim.margin * right if claim.kind == "ratio_at_least" else right + claim.margin
    assert left > margin if claim.kind == "greater" else left >= margin
