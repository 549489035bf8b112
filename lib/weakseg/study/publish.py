"""Publishing: the results of a finished run become our committed ones, in outputs/published/<profile>.

    python -m weakseg.study.publish --profile demo [--papers irn]

Papers that are not published anew keep what is published of them. Tables, figures, executed notebooks, claims, manifest
and report are taken; weights and other artifacts never are.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from weakseg.study import kept, places, report
from weakseg.study.manifest import Notebook, behind, manifest, merged, notebooks

LIMIT_MB = 25  # a paper and profile
KINDS = {
    "tables": (".csv", ".json", ".html", ".tex"),
    "figures": (".png", ".pdf", ".json"),
    "notes": (".json",),
    "": (".ipynb", ".html"),
}


def obstacles(profile: str, papers: Sequence[str]) -> list[str]:
    """Why these results cannot be published, one line each: a notebook that failed, was never run or is not current."""
    return [
        f"{notebook.run}: {_why(notebook)}"
        for paper in papers
        for notebook in notebooks(profile, paper)
        if not notebook.sound
    ]


def _why(notebook: Notebook) -> str:
    return f"its last run failed: {notebook.failed}" if notebook.failed else notebook.stale[0]


def files_of(profile: str, paper: str) -> Iterator[Path]:
    """The files of one paper that are published: what the records of its notebooks list, of the kinds for people."""
    for notebook in notebooks(profile, paper):
        for name in sorted(notebook.record["outputs"]):
            path = notebook.run.folder / name
            if path.suffix in KINDS.get(Path(name).parent.as_posix().replace(".", ""), ()):
                yield path


def publish(profile: str, papers: Sequence[str]) -> Path:
    """Replace what is published of these papers at `profile` by outputs/<profile>, keep the others; returns the folder.

    Raises ValueError in one line when a notebook failed, is missing or stale, or a paper would exceed its share; then
    what was published before stays as it was.
    """
    if found := obstacles(profile, papers):
        more = f" (and {len(found) - 1} more: make why)" if len(found) > 1 else ""
        raise ValueError(f"cannot publish: {found[0]}{more}; run the study, then publish")
    home, target = places.outputs() / profile, places.published(profile)
    partial = target.with_name(f".{profile}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for path in (path for paper in papers for path in files_of(profile, paper)):
        goal = partial / path.relative_to(home)
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, goal)
    for paper in kept.papers(profile, papers):
        shutil.copytree(target / paper, partial / paper)
    _report(profile, papers, partial)
    _check_size(partial)
    shutil.rmtree(target, ignore_errors=True)
    os.replace(partial, target)
    return target


def _report(profile: str, papers: Sequence[str], folder: Path) -> None:
    """The report on what is published anew and on what stays."""
    others = kept.papers(profile, papers)
    found = [report.paper_of(profile, paper) for paper in papers] + [kept.paper(profile, paper) for paper in others]
    made, old = manifest(profile, papers), kept.manifest(profile, others)
    # Runs may hold what other papers and trials left there, and the published manifest what replaced results rested on.
    stages = merged([*behind(made), *behind(old)])
    made = {"profile": profile, "outputs": old["outputs"] + made["outputs"], "stages": stages}
    report.write_files(profile, sorted(found, key=lambda paper: paper.id), made, None, folder)


def _check_size(folder: Path) -> None:
    """ValueError naming the largest file when one paper exceeds its share of this profile."""
    for paper in (path for path in folder.iterdir() if path.is_dir()):
        mine = [path for path in paper.rglob("*") if path.is_file()]
        megabytes = sum(path.stat().st_size for path in mine) / 1e6
        if megabytes > LIMIT_MB:
            largest = max(mine, key=lambda path: path.stat().st_size)
            size = largest.stat().st_size / 1e6
            shutil.rmtree(folder)
            words = f"the limit is {LIMIT_MB} a paper; the largest file is {largest.name}, {size:.1f} MB"
            raise ValueError(f"cannot publish: {paper.name} takes {megabytes:.0f} MB, {words}")


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m weakseg.study.publish", description="Publish a finished run.")
    parser.add_argument("--profile", default="demo", help="as in outputs/<profile> (default: demo)")
    parser.add_argument("--papers", nargs="*", help="paper ids (default: all that have results)")
    given = parser.parse_args(words)
    try:
        papers = given.papers or places.papers(given.profile)
        target = publish(given.profile, papers)
    except (ValueError, FileNotFoundError) as error:
        print(f"weakseg: {error}", file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file()) / 1e6
    print(f"published {', '.join(papers)} at {target}: {size:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
