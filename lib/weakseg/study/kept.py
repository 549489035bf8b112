"""Published results of one paper that stay while another paper's are published: what they are, read from their files.

Their evidence is not published, so verdicts come from the published claims.csv and are not judged again.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from weakseg.study import claims, places, report
from weakseg.study.claims import Verdict
from weakseg.study.manifest import ABOUT, Notebook
from weakseg.study.plan import Run


def papers(profile: str, replaced: list[str]) -> list[str]:
    """Ids of the papers published at `profile` and not among `replaced`, in alphabetical order."""
    there = places.published(profile).glob("*/tables")
    return sorted(path.parent.name for path in there if path.parent.name not in replaced)


def paper(profile: str, name: str) -> report.Paper:
    """One published paper, as the report shows it."""
    home = places.published(profile)
    ran = [_notebook(profile, entry) for entry in manifest(profile, [name])["outputs"] if _executed(entry)]
    return report.gather(home, profile, name, ran, _verdicts(profile, name))


def manifest(profile: str, names: list[str]) -> dict[str, Any]:
    """The published manifest with the files of these papers alone; all stages, which papers may share."""
    if not names:
        return {"profile": profile, "outputs": [], "stages": []}
    made = json.loads((places.published(profile) / "manifest.json").read_text(encoding="utf-8"))
    return {**made, "outputs": [entry for entry in made["outputs"] if entry["paper"] in names]}


def _executed(entry: dict[str, Any]) -> bool:
    return entry["path"].endswith(".ipynb")


def _notebook(profile: str, entry: dict[str, Any]) -> Notebook:
    record = {fact: entry[fact] for fact in (*ABOUT, "key") if fact in entry}
    return Notebook(Run(entry["paper"], entry["notebook"], profile), record, (), None)


def _verdicts(profile: str, name: str) -> list[Verdict]:
    home = places.published(profile)
    ledger = pd.read_csv(home / "claims.csv").query("paper == @name").set_index("claim")
    tables = home / name / "tables"
    return [
        _verdict(name, claim, ledger.loc[claim.id], tables)
        for claim in claims.claims_of(name)
        if claim.id in ledger.index
    ]


def _verdict(name: str, claim: claims.Claim, line: pd.Series, tables: Path) -> Verdict:
    told = [float(line[column]) for column in ("estimate", "low", "high")]
    reason = claims.why_not_run(tables, claim) if line["verdict"] == claims.NOT_RUN else ""
    return Verdict(name, claim, line["verdict"], *told, int(line["seeds"]), reason)
