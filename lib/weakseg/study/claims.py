"""Claims: what a paper asserts about its tables, judged on our evidence with an interval and not by eye.

params/claims/<paper>.yaml states each ordering or gap. The interval is a paired bootstrap: every draw takes the test
pictures with replacement, the same ones for both sides, and, where there are several training seeds, the seeds too.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Discriminator, Field, Tag

from weakseg.metrics import resample
from weakseg.study import places
from weakseg.study.params import Group, load
from weakseg.study.reported import Reported, known, reported
from weakseg.study.tables import read_long, read_seeds

DRAWS = 1000
COLUMNS = ["paper", "claim", "table", "statement", "verdict", "estimate", "low", "high", "seeds"]
HELD, NOT_HELD, UNDECIDED, NOT_RUN = "held", "not held", "undecided", "not run"


class Cell(Group):
    """One cell of the claim's table."""

    row: str
    column: str


class Gain(Group):
    """One cell minus another."""

    cell: Cell
    over: Cell


class Spread(Group):
    """The largest minus the smallest of several gains: how much a gain depends on where it is taken."""

    gains: tuple[Gain, ...] = Field(min_length=2)


def _kind_of_side(side: Any) -> str:
    if isinstance(side, Spread) or (isinstance(side, dict) and "gains" in side):
        return "spread"
    return "gain" if isinstance(side, Gain) or (isinstance(side, dict) and "over" in side) else "cell"


Side = Annotated[
    Annotated[Cell, Tag("cell")] | Annotated[Gain, Tag("gain")] | Annotated[Spread, Tag("spread")],
    Discriminator(_kind_of_side),
]


class Claim(Group):
    """One assertion: left is greater than right, at least `margin` times it, at least `margin` points above it, or
    differs from it by at most `margin` points, either way."""

    id: str
    table: str
    statement: str
    kind: Literal["greater", "ratio_at_least", "gap_at_least", "differs_by_at_most"]
    left: Side
    right: Side
    margin: float = 0.0

    def cells(self) -> list[Cell]:
        """The cells of both sides, each once, in a fixed order."""
        return list(dict.fromkeys([*cells_of(self.left), *cells_of(self.right)]))

    def sides(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Left and right (...,) from values (..., n) of `cells`."""
        by_cell = dict(zip(self.cells(), np.moveaxis(values, -1, 0), strict=True))
        return side_value(self.left, by_cell), side_value(self.right, by_cell)


def cells_of(side: Side) -> list[Cell]:
    """The cells that a side is computed from."""
    if isinstance(side, Cell):
        return [side]
    return [cell for gain in (side.gains if isinstance(side, Spread) else [side]) for cell in (gain.cell, gain.over)]


def side_value(side: Side, values: Mapping[Cell, np.ndarray]) -> np.ndarray:
    """A cell's value, a gain with its sign, or the spread of gains: never negative, so noise widens it; compare spreads
    with each other.
    """
    if isinstance(side, Cell):
        return values[side]
    if isinstance(side, Gain):
        return values[side.cell] - values[side.over]
    return np.ptp([values[gain.cell] - values[gain.over] for gain in side.gains], axis=0)


class Claims(Group):
    """All claims of one paper."""

    claims: tuple[Claim, ...]


@dataclass(frozen=True)
class Verdict:
    """What came out: the estimate with its 95 % interval (points, or a ratio) and seeds, or why it was not run."""

    paper: str
    claim: Claim
    verdict: str
    estimate: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    seeds: int = 0
    reason: str = ""


def claims_of(paper: str) -> tuple[Claim, ...]:
    """params/claims/<paper>.yaml, checked against the reported tables; ValueError names the nearest row or column."""
    file = places.root() / "params" / "claims" / f"{paper}.yaml"
    if not file.is_file():
        return ()
    claims, tables = load(Claims, file).claims, reported(paper)
    for claim in claims:
        _check(claim, tables, str(file))
    return claims


def _check(claim: Claim, tables: Reported, file: str) -> None:
    table = tables.tables[known(claim.table, tables.tables, f"{file}: {claim.id}: table")]
    for cell in claim.cells():
        known(cell.row, [row.row for row in table.rows], f"{file}: {claim.id}: row")
        known(cell.column, table.columns, f"{file}: {claim.id}: column")


def statistic(kind: str, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """left - right in points, or left / right for a ratio (over nothing: infinite; nothing over nothing: 0)."""
    if kind != "ratio_at_least":
        return left - right
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(left == 0, 0.0, left / right)


def decide(claim: Claim, low: float, high: float) -> str:
    """Held when the whole interval satisfies the claim, not held when no part of it does, else undecided."""
    if claim.kind == "differs_by_at_most":
        if max(-low, high) <= claim.margin:
            return HELD
        return NOT_HELD if low > claim.margin or high < -claim.margin else UNDECIDED
    strict = claim.kind == "greater"
    if low > claim.margin or (low == claim.margin and not strict):
        return HELD
    return NOT_HELD if high < claim.margin or (high == claim.margin and strict) else UNDECIDED


def joint_draws(values: np.ndarray, seed: int = 0) -> np.ndarray:
    """Mean over training seeds drawn with replacement, anew for each draw of pictures.

    values: (S, draws, n) value of each cell of each seed on each draw of pictures. Returns (draws, n).
    """
    S, draws, _ = values.shape
    chosen = np.random.default_rng([seed, S]).integers(0, S, size=(draws, S))
    return values[chosen, np.arange(draws)[:, None]].mean(axis=1)  # (draws, S, n) -> (draws, n)


def interval(claim: Claim, files: Sequence[Sequence[Path]], metrics: Sequence[str], seed: int = 0) -> np.ndarray:
    """(estimate, low, high) of a claim. files: per training seed the evidence of each of its cells; metrics: of each
    cell."""
    evidence = [[resample.load(file) for file in of_seed] for of_seed in files]
    if any(not np.array_equal(of_seed[0].names, evidence[0][0].names) for of_seed in evidence):
        raise ValueError("its seeds were measured on different pictures; measure all on the same ones, in one order")
    point = np.array([[resample.value(e, m) for e, m in zip(row, metrics, strict=True)] for row in evidence])  # (S, n)
    drawn = np.stack([resample.resampled(row, metrics, DRAWS, seed) for row in evidence])  # (S, draws, n)
    results = statistic(claim.kind, *claim.sides(joint_draws(drawn, seed)))
    # No interpolation between draws: a ratio may be infinite.
    low, high = np.percentile(results, 2.5, method="lower"), np.percentile(results, 97.5, method="higher")
    return np.array([float(statistic(claim.kind, *claim.sides(point.mean(axis=0)))), low, high])


def judge(paper: str, claim: Claim, folder: Path, runs: Path) -> Verdict:
    """The verdict on one claim from the tables in `folder` and the evidence under `runs`.

    Raises ValueError when a table's number is not what its evidence gives, FileNotFoundError when evidence is gone.
    """
    if not (folder / f"{claim.table}.csv").is_file():
        return Verdict(paper, claim, NOT_RUN, reason=f"table {claim.table} was not made")
    cells = claim.cells()
    found = [_evidence(folder, claim, cell, runs) for cell in cells]
    for cell, of_cell in zip(cells, found, strict=True):
        if not of_cell:
            return Verdict(paper, claim, NOT_RUN, reason=f"{cell.row}: {_why(folder, claim, cell)}")
    seeds = sorted(set.intersection(*(set(of_cell) for of_cell in found)))
    if not seeds:
        return Verdict(paper, claim, NOT_RUN, reason="its cells have no seed in common")
    metrics = [of_cell[seeds[0]][1] for of_cell in found]
    try:
        estimate, low, high = interval(claim, [[of_cell[s][0] for of_cell in found] for s in seeds], metrics)
    except ValueError as error:
        raise ValueError(f"{claim.table}: claim {claim.id}: {error}") from None
    return Verdict(paper, claim, decide(claim, low, high), estimate, low, high, len(seeds))


def _evidence(folder: Path, claim: Claim, cell: Cell, runs: Path) -> dict[int, tuple[Path, str]]:
    """Evidence file and metric of a cell by seed, each checked against the number in the table."""
    entries = json.loads((folder / f"{claim.table}.evidence.json").read_text(encoding="utf-8"))
    wanted = [e for e in entries["cells"] if e["row"] == cell.row and e["column"] == cell.column]
    values = read_seeds(folder / f"{claim.table}.seeds.csv").set_index(["row", "column", "seed"])["value"]
    for entry in wanted:
        where = f"{claim.table}: row '{cell.row}', column '{cell.column}', seed {entry['seed']}"
        _agree(where, runs / entry["path"], entry["metric"], values[cell.row, cell.column, entry["seed"]])
    return {e["seed"]: (runs / e["path"], e["metric"]) for e in wanted}


def _agree(where: str, file: Path, metric: str, value: float) -> None:
    if not file.is_file():
        raise FileNotFoundError(f"{where}: its evidence {file} is gone; run the study again")
    found = resample.value(resample.load(file), metric)
    if not abs(found - value) < 0.01:
        raise ValueError(
            f"{where}: the table says {value:.2f}, its evidence gives {found:.2f}; pass the cell's own evidence"
        )


def _why(folder: Path, claim: Claim, cell: Cell) -> str:
    long = read_long(folder / f"{claim.table}.csv").set_index(["row", "column"])
    if (cell.row, cell.column) not in long.index:
        return "not part of this run"
    return long.loc[(cell.row, cell.column), "reason"] or "no per-picture evidence was kept for it"


def why_not_run(folder: Path, claim: Claim) -> str:
    """Why a claim about the tables in `folder` has no verdict: the reason of its first cell that holds no number."""
    long = read_long(folder / f"{claim.table}.csv").set_index(["row", "column"])["ours"]
    empty = [cell for cell in claim.cells() if pd.isna(long.get((cell.row, cell.column)))]
    return f"{empty[0].row}: {_why(folder, claim, empty[0])}" if empty else "its cells have no evidence in common"


def verdicts(profile: str, papers: Iterable[str]) -> list[Verdict]:
    """Verdicts on all claims of the given papers, from outputs/<profile>."""
    home = places.outputs() / profile
    return [judge(p, claim, home / p / "tables", home / "runs") for p in papers for claim in claims_of(p)]


def as_frame(found: Iterable[Verdict]) -> pd.DataFrame:
    """The ledger as it is written to claims.csv."""
    lines = [
        (
            v.paper,
            v.claim.id,
            v.claim.table,
            v.claim.statement,
            v.verdict,
            *map(_rounded, (v.estimate, v.low, v.high)),
            v.seeds,
        )
        for v in found
    ]
    return pd.DataFrame(lines, columns=COLUMNS)


def _rounded(number: float) -> float:
    return round(float(number), 4)
