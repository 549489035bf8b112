"""Tables: what we measured beside what the paper reports, in a long form for programs and a finished one for people.

Every table `<id>` is five files: `<id>.csv` (one line per cell), `<id>.seeds.csv` (one line per cell and seed),
`<id>.evidence.json` (where each number's per-picture evidence lies), `<id>.html` and `<id>.tex`.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from weakseg.study.places import write_text
from weakseg.study.render import html_page, latex
from weakseg.study.reported import ReportedTable, Row, known
from weakseg.study.stages import Artifact

COLUMNS = ["row", "column", "paper", "official", "ours", "spread", "seeds", "protocol", "reason"]
_TYPES = {"paper": float, "official": float, "ours": float, "spread": float, "seeds": int}
SEED_COLUMNS = ["row", "column", "seed", "value"]
Reasons = Mapping[str | tuple[str, str], str]


@dataclass(frozen=True)
class Measured:
    """One number of ours, in percent: a cell, a seed, and the artifact whose evidence.npz it was computed from."""

    row: str
    column: str
    seed: int
    value: float
    protocol: str
    evidence: Artifact | None = None


def check(spec: ReportedTable, measured: Sequence[Measured], reasons: Reasons, table: str) -> None:
    """ValueError for an unknown row or column, a value that is no percentage, a cell measured twice, no evidence."""
    rows, seen = [row.row for row in spec.rows], set()
    for m in measured:
        known(m.row, rows, f"{table}: row")
        known(m.column, spec.columns, f"{table}: row '{m.row}': column")
        where = f"{table}: row '{m.row}', column '{m.column}', seed {m.seed}"
        if not (math.isfinite(m.value) and 0 <= m.value <= 100):
            raise ValueError(f"{where}: {m.value} is no percentage; is there truth for it at all?")
        if (m.row, m.column, m.seed) in seen:
            raise ValueError(f"{where}: measured twice; give each cell one value per seed")
        if m.evidence is not None and not (m.evidence.path / "evidence.npz").is_file():
            raise FileNotFoundError(f"{where}: no evidence.npz in {m.evidence.path}; pass the evaluation's artifact")
        seen.add((m.row, m.column, m.seed))
    for key in reasons:
        for name in key if isinstance(key, tuple) else (key,):
            known(name, [*rows, *spec.columns], f"{table}: reason given for row or column")


def long_form(spec: ReportedTable, measured: Sequence[Measured], reasons: Reasons, table: str) -> pd.DataFrame:
    """One line per cell, in the paper's order; `ours`: mean over seeds, `spread`: their standard deviation (n - 1).

    A reason may be given for a row, for a column, or for one (row, column). ValueError when a reported cell has neither
    value nor reason. Rows of our own (`ours_only`) that were not measured and have no reason are left out.
    """
    check(spec, measured, reasons, table)
    cells: dict[tuple[str, str], list[Measured]] = {}
    for m in sorted(measured, key=lambda m: m.seed):
        cells.setdefault((m.row, m.column), []).append(m)
    lines = [
        _cell(row, column, cells.get((row.row, column), []), reasons, table)
        for row in spec.rows
        if _wanted(row, cells, reasons)
        for column in spec.columns
    ]
    return pd.DataFrame(lines, columns=COLUMNS).astype(_TYPES)


def _wanted(row: Row, cells: Mapping[tuple[str, str], object], reasons: Reasons) -> bool:
    return not row.ours_only or row.row in reasons or any(label == row.row for label, _ in cells)


def _cell(row: Row, column: str, found: Sequence[Measured], reasons: Reasons, table: str) -> tuple:
    values = np.array([m.value for m in found])
    reason = "" if found else _reason(row, column, reasons, table)
    protocols = sorted({m.protocol for m in found})
    if len(protocols) > 1:
        raise ValueError(f"{table}: row '{row.row}', column '{column}': seeds differ in protocol: {protocols}")
    ours = round(float(values.mean()), 4) if found else None
    spread = round(float(values.std(ddof=1)), 4) if len(found) > 1 else None
    return (
        row.row,
        column,
        row.paper.get(column),
        row.official.get(column),
        ours,
        spread,
        len(found),
        "".join(protocols),
        reason,
    )


def _reason(row: Row, column: str, reasons: Reasons, table: str) -> str:
    for key in ((row.row, column), row.row, column):
        if reasons.get(key):
            return str(reasons[key])
    if row.paper.get(column) is None:
        return "neither reported nor measured"
    raise ValueError(
        f"{table}: row '{row.row}', column '{column}' has neither value nor reason; measure it or say why not"
    )


def seed_form(measured: Sequence[Measured]) -> pd.DataFrame:
    """One line per cell and seed."""
    lines = sorted((m.row, m.column, m.seed, round(float(m.value), 4)) for m in measured)
    return pd.DataFrame(lines, columns=SEED_COLUMNS)


def evidence_list(spec: ReportedTable, measured: Sequence[Measured], runs: Path) -> list[dict]:
    """Where each number's evidence lies (relative to the runs folder), its stage key and the metric that reads it."""
    return [
        {
            "row": m.row,
            "column": m.column,
            "seed": m.seed,
            "metric": spec.columns[m.column].metric,
            "path": (m.evidence.path / "evidence.npz").resolve().relative_to(runs.resolve()).as_posix(),
            "key": m.evidence.key,
        }
        for m in sorted(measured, key=lambda m: (m.row, m.column, m.seed))
        if m.evidence is not None
    ]


def write_table(
    folder: Path, table: str, spec: ReportedTable, measured: Sequence[Measured], reasons: Reasons, runs: Path
) -> pd.DataFrame:
    """Write the five files of one table into `folder`, each atomically; returns the long form."""
    long = long_form(spec, measured, reasons, table)
    evidence = json.dumps({"cells": evidence_list(spec, measured, runs)}, indent=1)
    write_text(folder / f"{table}.seeds.csv", seed_form(measured).to_csv(index=False))
    write_text(folder / f"{table}.evidence.json", evidence + "\n")
    write_text(folder / f"{table}.tex", latex(spec, long, table))
    write_text(folder / f"{table}.html", html_page(spec, long, table))
    write_text(folder / f"{table}.csv", long.to_csv(index=False))
    return long


def read_long(file: Path) -> pd.DataFrame:
    """The long form from disk; empty protocol and reason stay empty strings."""
    text = {"row": str, "column": str, "protocol": str, "reason": str}
    return pd.read_csv(file, dtype=text, keep_default_na=True).fillna({"protocol": "", "reason": ""})


def read_seeds(file: Path) -> pd.DataFrame:
    """The seed form from disk."""
    return pd.read_csv(file, dtype={"row": str, "column": str})
