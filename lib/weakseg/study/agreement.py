"""Agreement: this run's numbers beside our published ones, cell by cell and seed by seed.

    python -m weakseg.study.agreement --profile demo

A rerun that differs says so and still ends well: to see the difference is the point.
"""

import argparse
import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from weakseg.study import places
from weakseg.study.params import Group, load
from weakseg.study.reported import known, reported
from weakseg.study.tables import read_seeds

CELL = ["paper", "table", "row", "column", "seed"]
AGREES, DIFFERS, MISSING, NEW = "agrees", "differs", "not in this run", "not published"


class Tolerances(Group):
    """params/tolerance.yaml: points between a rerun and the published numbers, per profile, paper and metric."""

    profiles: dict[str, dict[str, dict[str, float]]]

    def points(self, profile: str, paper: str, metric: str) -> float:
        """Points for one metric; ValueError naming the key to add when there are none."""
        papers = self.profiles[known(profile, self.profiles, "params/tolerance.yaml: profile")]
        allowed = {**papers.get("default", {}), **papers.get(paper, {})}
        if metric not in allowed:
            raise ValueError(f"params/tolerance.yaml: {profile}.{paper}: no tolerance for '{metric}'; add it there")
        return allowed[metric]


def tolerances() -> Tolerances:
    """params/tolerance.yaml, checked."""
    return load(Tolerances, places.root() / "params" / "tolerance.yaml")


def seed_cells(home: Path, papers: Iterable[str]) -> pd.DataFrame:
    """All numbers of the tables under <home>/<paper>/tables: paper, table, row, column, seed, value."""
    frames = [
        read_seeds(file).assign(paper=paper, table=file.name.removesuffix(".seeds.csv"))
        for paper in papers
        for file in sorted((home / paper / "tables").glob("*.seeds.csv"))
    ]
    return pd.concat([f for f in frames if len(f)] or [pd.DataFrame(columns=[*CELL, "value"])])[[*CELL, "value"]]


def compare(profile: str, papers: Iterable[str]) -> pd.DataFrame:
    """One line per cell and seed: ours, published, difference, tolerance, and what follows (`state`).

    Seeds that this run was not asked for are left out; a published cell of a seed that was run, but is not there, is
    "not in this run"; a cell of ours that was never published is "not published".
    """
    papers = list(papers)
    ours, ref = seed_cells(places.outputs() / profile, papers), seed_cells(places.published(profile), papers)
    both = ours.merge(ref, on=CELL, how="outer", suffixes=("_ours", "_published"))
    run = set(zip(ours["paper"], ours["seed"], strict=True))
    asked = pd.Series([pair in run for pair in zip(both["paper"], both["seed"], strict=True)], both.index, bool)
    both = both[asked].reset_index(drop=True)
    both = both.rename(columns={"value_ours": "ours", "value_published": "published"})
    both["tolerance"] = _allowed(profile, both)
    both["difference"] = (both["ours"] - both["published"]).astype(float).round(4)
    both["state"] = [_state(c) for c in both.itertuples()]
    return both


def _allowed(profile: str, cells: pd.DataFrame) -> list[float]:
    """Points for each cell; nan in a profile of one's own, which has no tolerances and nothing to be compared with."""
    allowed, tables = tolerances(), {paper: reported(paper).tables for paper in set(cells["paper"])}
    if profile not in allowed.profiles and cells["published"].isna().all():
        return [math.nan] * len(cells)
    found = []
    for cell in cells.itertuples():
        there = tables[cell.paper]
        columns = there[known(cell.table, there, f"params/reported/{cell.paper}.yaml: table")].columns
        metric = columns[known(cell.column, columns, f"params/reported/{cell.paper}.yaml: {cell.table}: column")].metric
        found.append(allowed.points(profile, cell.paper, metric))
    return found


def _state(cell: tuple) -> str:
    if pd.isna(cell.ours):
        return MISSING
    if pd.isna(cell.published):
        return NEW
    return AGREES if abs(cell.difference) <= cell.tolerance else DIFFERS


def counts(cells: pd.DataFrame) -> Mapping[str, int]:
    """How many cells are in each state."""
    return {state: int((cells["state"] == state).sum()) for state in (AGREES, DIFFERS, MISSING, NEW)}


def summary(cells: pd.DataFrame) -> str:
    """The outcome in one line."""
    n = counts(cells)
    if not n[AGREES] + n[DIFFERS] + n[MISSING]:
        return "agreement with the published results: nothing is published for these papers and seeds"
    rest = "; ".join(f"{state}: {n[state]}" for state in (DIFFERS, MISSING, NEW) if n[state])
    of = n[AGREES] + n[DIFFERS] + n[MISSING]
    return f"agreement with the published results: {n[AGREES]} of {of} cells agree" + (f"; {rest}" if rest else "")


def lines(cells: pd.DataFrame) -> list[str]:
    """The summary, then one line for each cell that differs or is missing."""
    loud = cells[cells["state"].isin([DIFFERS, MISSING])]
    return [summary(cells)] + [
        f"  {c.state.upper()}: {c.paper} {c.table} '{c.row}' {c.column} seed {c.seed}: "
        f"ours {c.ours:.2f}, published {c.published:.2f} (tolerance {c.tolerance:g})"
        for c in loud.itertuples()
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare a run with our published results, cell by cell.")
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--papers", nargs="*", help="paper ids (default: all that have results)")
    given = parser.parse_args()
    try:
        print("\n".join(lines(compare(given.profile, given.papers or places.papers(given.profile)))))
    except (ValueError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
