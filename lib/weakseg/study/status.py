"""What is current and what is stale, and why: ``python -m weakseg.study.status --profile demo`` (exit 1: stale)."""

import sys
from collections.abc import Sequence
from pathlib import Path

from weakseg.study import places, records
from weakseg.study.code import closure_of_source
from weakseg.study.plan import Run, command_line, digest, key_of, overrides_of, parts, runs


def awaited(run: Run) -> Path:
    """The mark that a batch engine waits for: it exists when the run is current, and carries the run's key in its name.

    A mark whose outputs were removed or changed tells no truth any more, and is taken away here.
    """
    known = parts(run)
    mark = records.mark_of(run, key_of(known))
    if mark.exists() and not records.current(run, known):
        mark.unlink(missing_ok=True)
    return mark


def report_mark(profile: str, wanted: Sequence[Run], report: str = "weakseg.study.report") -> Path:
    """The mark of a report on these runs: it carries their keys, the report's own code and what is published."""
    published = places.published(profile)
    files = sorted(path for path in published.rglob("*") if path.suffix in (".csv", ".json"))
    files += sorted((places.root() / "params").glob("*.yaml"))  # tolerances
    covered = [
        [(str(run), key_of(parts(run))) for run in wanted],
        sorted(closure_of_source(f"import {report} as report\nreport.main()").items()),
        [(path.name, digest(path.read_bytes())) for path in files],
    ]
    return places.outputs() / profile / f".report.{digest(repr(covered))[:16]}.done"


def listing(wanted: Sequence[Run], why: bool = False) -> tuple[list[str], int]:
    """Lines for people, and how many runs are stale. `why` names every cause, else the first of each run."""
    lines, stale = [], 0
    for run in wanted:
        if found := records.causes(run):
            stale += 1
            more = f" (and {len(found) - 1} more: make why)" if len(found) > 1 else ""
            lines += [f"{run} is stale:", *(f"  {cause}" for cause in found)] if why else [f"{run}: {found[0]}{more}"]
    return lines, stale


def check_all(wanted: Sequence[Run]) -> int:
    """0 when every params file and notebook is sound; else ValueError or FileNotFoundError in one line."""
    from weakseg.study.run import check  # imports the paper's models, and torch with them

    for run in wanted:
        check(run)
    return 0


def failures(wanted: Sequence[Run]) -> list[str]:
    """One line for each run whose last attempt failed."""
    found = ((run, records.failed(run)) for run in wanted)
    return [f"weakseg: {run} failed: {reason}" for run, reason in found if reason]


def main(words: Sequence[str] | None = None) -> int:
    """0 when everything is current, 1 when something is stale, 2 for bad input."""
    parser = command_line("weakseg.study.status", __doc__)
    parser.add_argument("--why", action="store_true", help="name every cause")
    parser.add_argument("--check", action="store_true", help="only check every params file and notebook")
    given = parser.parse_args(words)
    try:
        wanted = runs(given.profile, given.papers, overrides_of(given.seeds, []))
        if given.check:
            return check_all(wanted)
        lines, stale = listing(wanted, given.why)
    except (ValueError, FileNotFoundError) as error:
        print(f"weakseg: {error}", file=sys.stderr)
        return 2
    print("\n".join([*lines, f"{len(wanted) - stale} of {len(wanted)} notebooks are up to date"]))
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
