"""The report of a run: claims.csv, manifest.json and index.html, which opens from disk without network or script.

python -m weakseg.study.report --profile demo
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup
from PIL import Image

from weakseg.study import agreement, claims, places
from weakseg.study.claims import Verdict
from weakseg.study.manifest import Notebook, behind, manifest, notebooks
from weakseg.study.notes import Note, note
from weakseg.study.origin import Origin, computed_again, kind, origin
from weakseg.study.render import css, html_fragment
from weakseg.study.reported import reported
from weakseg.study.tables import read_long

SHOWN = 0.6  # pixels on the screen for one of a figure at 200 dpi, so that its text is as large as the page's
MARKS = {claims.HELD: "✓", claims.NOT_HELD: "✗", claims.UNDECIDED: "?", claims.NOT_RUN: "–"}


@dataclass(frozen=True)
class Table:
    """One finished table: its fragment, and the files beside it (name, link)."""

    id: str
    html: Markup
    files: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Figure:
    """One figure: its title, the link to its files without their ending, and its size on the screen in pixels."""

    id: str
    title: str
    stem: str
    width: int
    height: int


@dataclass(frozen=True)
class Paper:
    """What the report shows of one paper."""

    id: str
    title: str
    official_code: str | None
    notebooks: list[Notebook]
    tables: list[Table]
    figures: list[Figure]
    notes: list[Note]
    verdicts: list[Verdict]
    expectations: str


def paper_of(profile: str, paper: str) -> Paper:
    """Gather one paper's results from outputs/<profile>/<paper>."""
    home = places.outputs() / profile
    return gather(home, profile, paper, notebooks(profile, paper), claims.verdicts(profile, [paper]))


def gather(home: Path, profile: str, paper: str, ran: list[Notebook], verdicts: list[Verdict]) -> Paper:
    """One paper's results from <home>/<paper>, with what is known of its notebooks and claims."""
    folder, spec = home / paper, reported(paper)
    tables = [_table(folder, paper, name) for name in spec.tables if (folder / "tables" / f"{name}.csv").is_file()]
    return Paper(
        id=paper,
        title=spec.title,
        official_code=spec.official_code,
        notebooks=ran,
        tables=tables,
        figures=[_figure(folder, paper, i, fact["title"]) for i, fact in _described(folder / "figures").items()],
        notes=[note(name, fact["value"]) for name, fact in _described(folder / "notes").items()],
        verdicts=verdicts,
        expectations=head(places.params_file(profile, paper)),
    )


def _table(folder: Path, paper: str, name: str) -> Table:
    long = read_long(folder / "tables" / f"{name}.csv")
    files = tuple((kind, f"{paper}/tables/{name}.{kind}") for kind in ("csv", "seeds.csv", "tex", "html"))
    return Table(name, Markup(html_fragment(reported(paper).tables[name], long, f"{paper}-{name}")), files)


def _figure(folder: Path, paper: str, name: str, title: str) -> Figure:
    with Image.open(folder / "figures" / f"{name}.png") as picture:
        width, height = (round(side * SHOWN) for side in picture.size)
    return Figure(name, title, f"{paper}/figures/{name}", width, height)


def _described(folder: Path) -> dict[str, dict[str, Any]]:
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))}


def head(file: Path) -> str:
    """The comment that opens a params file: source, expected values, time and hardware."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        found.append(line.removeprefix("#").removeprefix(" "))
    return "\n".join(found)


# ---------------------------------------------------------------- the page


def page(profile: str, papers: Sequence[Paper], made: dict[str, Any], cells: pd.DataFrame | None) -> str:
    """index.html as text. `cells`: comparison with the published results, None where these are the published ones."""
    loader = jinja2.PackageLoader("weakseg.study", "templates")
    engine = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    engine.undefined = jinja2.StrictUndefined
    engine.filters |= {
        "duration": duration,
        "mark": MARKS.__getitem__,
        "bar": bar,
        "number": number,
    }
    runs = {(e["paper"], e["notebook"]): e for e in made["outputs"]}
    stages = behind(made)
    return engine.get_template("report.html").render(
        profile=profile,
        papers=papers,
        css=Markup(css()),
        verdicts=[verdict for paper in papers for verdict in paper.verdicts],
        kinds=list(MARKS),
        agreement=None if cells is None else agreement.summary(cells),
        loud=[]
        if cells is None
        else list(cells[cells["state"].isin([agreement.DIFFERS, agreement.MISSING])].itertuples()),
        cells=[] if cells is None else list(cells.itertuples()),
        seconds=sum(run["seconds"] for run in runs.values()),
        stage_seconds=sum(stage["seconds"] for stage in stages),
        origins=_origins(papers, stages),
        again=computed_again(stages),
        machines=_distinct(kind(run["machine"]) for run in runs.values()),
        versions=_distinct(run["versions"] for run in runs.values()),
        commits=_distinct(run["commit"] for run in runs.values() if run.get("commit")),
        draws=claims.DRAWS,
    )


def _origins(papers: Sequence[Paper], stages: list[dict[str, Any]]) -> dict[str, Origin]:
    """Where each paper's results come from, by its id."""
    return {
        paper.id: origin(
            [ran.record for ran in paper.notebooks if ran.record],
            [stage for stage in stages if paper.id in stage["papers"]],
        )
        for paper in papers
    }


def _distinct(values: Any) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def duration(seconds: float) -> str:
    """Seconds for people: '48 s', '12 min 5 s', '3 h 20 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"


def number(value: float, kind: str) -> str:
    """A ratio with two decimals and ×, a difference in points with sign and one decimal."""
    return f"{value:.2f} ×" if kind == "ratio_at_least" else f"{value:+.1f}".replace("-", "−")


def bar(verdict: Verdict) -> Markup:
    """The interval as a small drawing: line from low to high, dot at the estimate, upright stroke at the claim."""
    margin, low, high = verdict.claim.margin, verdict.low, min(verdict.high, 1e6)
    start, end = min(margin, low), max(margin, high)
    span = (end - start) or 1.0
    x = {
        name: 8 + 104 * (v - start) / span
        for name, v in (("m", margin), ("l", low), ("h", high), ("e", verdict.estimate))
    }
    return Markup(
        '<svg class="bar" width="120" height="18" viewBox="0 0 120 18" aria-hidden="true">'
        f'<path class="margin" d="M{x["m"]:.1f} 1V17"/><path class="interval" d="M{x["l"]:.1f} 9H{x["h"]:.1f}"/>'
        f'<circle cx="{min(x["e"], 112):.1f}" cy="9" r="3.5"/></svg>'
    )


# ---------------------------------------------------------------- command line


def write(profile: str, papers: Sequence[str], home: Path, compared: bool = True) -> str:
    """Write claims.csv, manifest.json and index.html of outputs/<profile> into `home`; returns the agreement in lines.

    Raises ValueError or FileNotFoundError in one line when there is nothing to report or a record does not fit.
    """
    if not papers:
        raise FileNotFoundError(f"{places.outputs() / profile}: no results to report; run the study first")
    found, made = [paper_of(profile, paper) for paper in papers], manifest(profile, papers)
    cells = agreement.compare(profile, papers) if compared else None
    write_files(profile, found, made, cells, home)
    return "" if cells is None else "\n".join(agreement.lines(cells))


def write_files(
    profile: str, found: Sequence[Paper], made: dict[str, Any], cells: pd.DataFrame | None, home: Path
) -> None:
    """The three files of the report into `home`; arguments as `page` has them."""
    ledger = claims.as_frame(verdict for paper in found for verdict in paper.verdicts)
    places.write_text(home / "claims.csv", ledger.to_csv(index=False))
    places.write_text(home / "manifest.json", json.dumps(made, indent=1) + "\n")
    places.write_text(home / "index.html", page(profile, found, made, cells))


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m weakseg.study.report", description="Write the report of a run.")
    parser.add_argument("--profile", default="demo", help="as in outputs/<profile> (default: demo)")
    parser.add_argument("--papers", nargs="*", help="paper ids (default: all that have results)")
    given = parser.parse_args(words)
    home = places.outputs() / given.profile
    try:
        print(write(given.profile, given.papers or places.papers(given.profile), home))
    except (ValueError, FileNotFoundError) as error:
        print(f"weakseg: {error}", file=sys.stderr)
        return 2
    print(f"report: {home / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
