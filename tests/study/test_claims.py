"""Claims: verdicts on evidence whose answer is known, and what keeps them honest."""

import dataclasses

import numpy as np
import pytest

from weakseg.study import claims
from weakseg.study.claims import (
    HELD,
    NOT_HELD,
    NOT_RUN,
    UNDECIDED,
    Cell,
    Claim,
    Gain,
    Spread,
    decide,
    interval,
    joint_draws,
    statistic,
)

BOXES = {"boxes": "no boxes"}


def claim(kind: str = "greater", margin: float = 0.0) -> Claim:
    left, right = (Cell(row=row, column="mIoU") for row in ("left", "right"))
    return Claim(id="c", table="main", statement="s", kind=kind, left=left, right=right, margin=margin)


def judged(fake, left: np.ndarray, right: np.ndarray, kind: str = "greater", margin: float = 0.0):
    files = [(fake.measured(row, hits).evidence / "evidence.npz") for row, hits in (("left", left), ("right", right))]
    return interval(claim(kind, margin), [tuple(files)], ("mIoU", "mIoU"))


def test_the_interval_of_a_mean_is_the_one_of_the_textbook(fake):
    hits = np.arange(60) + 20  # mean 49.5, so mIoU 24.75
    estimate, low, high = judged(fake, hits, np.full(60, 40))
    error = 1.96 * hits.std() / np.sqrt(60) / 2
    assert estimate == pytest.approx(24.75 - 20)
    assert low == pytest.approx(estimate - error, abs=0.35) and high == pytest.approx(estimate + error, abs=0.35)


def test_pairing_takes_the_pictures_difficulty_out(fake):
    hits = np.arange(60) + 20  # differs by 59 from picture to picture, but left is 2 better on each
    estimate, low, high = judged(fake, hits + 2, hits)
    assert low == pytest.approx(1) and estimate == pytest.approx(1) and high == pytest.approx(1)


def test_a_ratio_of_constants_is_that_ratio_and_a_ratio_to_nothing_is_infinite(fake):
    assert judged(fake, np.full(60, 80), np.full(60, 20), "ratio_at_least") == pytest.approx([4, 4, 4])
    assert list(statistic("ratio_at_least", np.array([2.0, 0.0]), np.array([0.0, 0.0]))) == [np.inf, 0.0]


@pytest.mark.parametrize(
    ("kind", "margin", "low", "high", "verdict"),
    [
        ("greater", 0, 0.1, 3, HELD),
        ("greater", 0, 0.0, 3, UNDECIDED),
        ("greater", 0, -1, 0.5, UNDECIDED),
        ("greater", 0, -3, 0, NOT_HELD),  # equal is not greater
        ("gap_at_least", 8, 8, 9, HELD),
        ("gap_at_least", 8, 7, 9, UNDECIDED),
        ("gap_at_least", 8, 5, 7.9, NOT_HELD),
        ("ratio_at_least", 3, 3.5, np.inf, HELD),
        ("ratio_at_least", 3, 1, 2, NOT_HELD),
        ("differs_by_at_most", 2, -1, 2, HELD),
        ("differs_by_at_most", 2, -2.1, 0, UNDECIDED),
        ("differs_by_at_most", 2, -3, 3, UNDECIDED),
        ("differs_by_at_most", 2, 2.1, 4, NOT_HELD),
        ("differs_by_at_most", 2, -4, -2.1, NOT_HELD),
    ],
)
def test_a_verdict_needs_the_whole_interval(kind, margin, low, high, verdict):
    assert decide(claim(kind, margin), low, high) == verdict


def steadier(*rows: str) -> Claim:
    """The gains of the first two rows over `base` spread more than those of the last two."""
    cells = [Cell(row=row, column="mIoU") for row in (*rows, "base")]
    gains = [Gain(cell=cell, over=cells[-1]) for cell in cells[:-1]]
    sides = [Spread(gains=tuple(pair)) for pair in (gains[:2], gains[2:])]
    return Claim(id="c", table="main", statement="s", kind="greater", left=sides[0], right=sides[1])


def test_a_spread_is_the_range_of_its_gains(fake):
    found = steadier("a", "b", "c", "d")
    assert [cell.row for cell in found.cells()] == ["a", "base", "b", "c", "d"]
    left, right = found.sides(np.array([[8.0, 1.0, 2.0, 5.0, 4.0], [1.0, 0.0, 3.0, 6.0, 4.0]]))
    assert left.tolist() == [6, 2] and right.tolist() == [1, 2]
    hits = {"a": 80, "base": 20, "b": 40, "c": 60, "d": 50}  # mIoU is half of it
    files = [fake.measured(row, np.full(60, value)).evidence / "evidence.npz" for row, value in hits.items()]
    assert interval(found, [files], ["mIoU"] * 5) == pytest.approx([15, 15, 15])  # (80 - 40) / 2 - (60 - 50) / 2


def test_a_gain_keeps_its_sign():
    """What harms is no large step: a loss of 5 is less than a gain of 1."""
    of = {row: Cell(row=row, column="AP") for row in "abc"}
    left, right = Gain(cell=of["b"], over=of["a"]), Gain(cell=of["c"], over=of["b"])
    claim = Claim(id="g", table="t", statement="", kind="greater", left=left, right=right)
    values = {"a": 30.0, "b": 25.0, "c": 26.0}
    assert claim.sides(np.array([values[cell.row] for cell in claim.cells()])) == (-5, 1)
    assert Claim.model_validate(claim.model_dump()) == claim


def test_a_spread_needs_two_gains_and_known_cells(fake):
    gain = '{cell: {row: "walk & more", column: mIoU}, over: {row: "CAM", column: mIoU}}'
    file = fake.root / "params/claims/fake.yaml"
    text = file.read_text()
    file.write_text(text.replace('left: {row: "walk & more", column: mIoU}', f"left: {{gains: [{gain}, {gain}]}}"))
    assert [cell.row for cell in claims.claims_of("fake")[0].cells()] == ["walk & more", "CAM"]
    file.write_text(file.read_text().replace('over: {row: "CAM"', 'over: {row: "CMA"'))
    with pytest.raises(ValueError, match="row 'CMA' is unknown; did you mean 'CAM'"):
        claims.claims_of("fake")
    file.write_text(text.replace('left: {row: "walk & more", column: mIoU}', f"left: {{gains: [{gain}]}}"))
    with pytest.raises(ValueError, match=r"left\.spread\.gains: .*at least 2"):
        claims.claims_of("fake")


def test_seeds_are_resampled_with_the_pictures():
    pairs = np.zeros((2, 4000, 2))
    pairs[1] = 10  # left and right of seed 1 are 10 on every draw of pictures, those of seed 0 are 0
    mean = joint_draws(pairs)
    assert mean.shape == (4000, 2) and (mean[:, 0] == mean[:, 1]).all()  # both sides take the same seeds
    share = [np.mean(mean[:, 0] == value) for value in (0, 5, 10)]
    assert share == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    assert np.array_equal(joint_draws(pairs[:1]), pairs[0])


def test_a_seed_that_goes_the_other_way_makes_a_claim_undecided(fake):
    s = fake.session(seeds=[0, 1])
    better = [fake.measured("walk & more", np.full(60, hits), seed) for seed, hits in ((0, 80), (1, 50))]
    plain = [fake.measured("CAM", np.full(60, 60), seed) for seed in (0, 1)]
    s.table("main", [*better, *plain], BOXES)
    first, second = claims.verdicts("toy", ["fake"])
    assert (first.verdict, first.seeds, first.estimate) == (UNDECIDED, 2, pytest.approx(2.5))
    assert (first.low, first.high) == (pytest.approx(-5), pytest.approx(10))
    assert (second.verdict, second.reason) == (NOT_RUN, "boxes: no boxes")


def test_only_seeds_that_both_sides_have_are_compared(fake):
    s = fake.session(seeds=[0, 1])
    better = [fake.measured("walk & more", np.full(60, hits), seed) for seed, hits in ((0, 80), (1, 50))]
    s.table("main", [*better, fake.measured("CAM", np.full(60, 60))], BOXES)
    first, _ = claims.verdicts("toy", ["fake"])
    assert (first.verdict, first.seeds, first.estimate) == (HELD, 1, pytest.approx(10))


def test_the_ledger_has_its_columns_and_repeats(fake):
    s = fake.session()
    rng = np.random.default_rng(0)
    rows = ("CAM", "walk & more", "boxes")
    s.table("main", [fake.measured(row, rng.integers(20, 80, 60)) for row in rows])
    ledger = claims.as_frame(claims.verdicts("toy", ["fake"]))
    assert list(ledger.columns) == [
        "paper",
        "claim",
        "table",
        "statement",
        "verdict",
        "estimate",
        "low",
        "high",
        "seeds",
    ]
    assert (ledger["low"] <= ledger["estimate"]).all() and (ledger["estimate"] <= ledger["high"]).all()
    assert ledger.equals(claims.as_frame(claims.verdicts("toy", ["fake"])))


def test_a_table_that_was_not_made_leaves_its_claims_not_run(fake):
    assert {v.reason for v in claims.verdicts("toy", ["fake"])} == {"table main was not made"}


def test_a_number_that_its_evidence_does_not_give_is_an_error(fake):
    s = fake.session()
    cells = [fake.measured(row, np.full(60, 60)) for row in ("CAM", "walk & more")]
    s.table("main", [cells[0], dataclasses.replace(cells[1], value=31.0)], BOXES)
    with pytest.raises(
        ValueError, match=r"'walk & more', column 'mIoU', seed 0: the table says 31.00, its evidence gives 30.00"
    ):
        claims.verdicts("toy", ["fake"])


def test_evidence_that_is_gone_is_an_error(fake):
    s = fake.session()
    cells = [fake.measured(row, np.full(60, 60)) for row in ("CAM", "walk & more")]
    s.table("main", cells, BOXES)
    (cells[0].evidence / "evidence.npz").unlink()
    with pytest.raises(FileNotFoundError, match="run the study again"):
        claims.verdicts("toy", ["fake"])


def test_sides_measured_on_other_pictures_are_refused(fake):
    s = fake.session()
    s.table("main", [fake.measured("CAM", np.full(60, 60)), fake.measured("walk & more", np.full(50, 60))], BOXES)
    with pytest.raises(ValueError, match="main: claim walk_over_cam: .*60 pictures"):
        claims.verdicts("toy", ["fake"])


def test_seeds_measured_on_other_pictures_are_refused(fake):
    s = fake.session(seeds=[0, 1])
    rows = ("CAM", "walk & more")
    s.table("main", [fake.measured(row, np.full(60 - seed, 60), seed) for row in rows for seed in (0, 1)], BOXES)
    with pytest.raises(ValueError, match="seeds were measured on different pictures"):
        claims.verdicts("toy", ["fake"])


def test_a_claim_about_an_unknown_cell_names_the_nearest(fake):
    file = fake.root / "params/claims/fake.yaml"
    file.write_text(file.read_text().replace('row: "boxes"', 'row: "boxs"'))
    with pytest.raises(ValueError, match="walk_over_boxes: row 'boxs' is unknown; did you mean 'boxes'"):
        claims.claims_of("fake")


def test_the_projects_claims_fit_its_tables(monkeypatch):
    monkeypatch.delenv("WEAKSEG_ROOT", raising=False)
    found = claims.claims_of("irn")
    assert len({c.id for c in found}) == len(found) >= 8
    assert {c.table[:6] for c in found} == {"table1", "table2", "table3", "table4"}
