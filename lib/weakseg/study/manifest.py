"""The manifest: key, inputs, versions, machine and seconds of everything that a run made, gathered from its records."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weakseg.study import places, records
from weakseg.study.plan import Run

ABOUT = ("seconds", "machine", "versions", "commit", "began", "peak_memory_mb", "seeds")
RUN = ("stage", "key", "inputs", "params", "seconds", "resumed", "versions", "machine", "made")
STAGE_FACTS = (*RUN, "core_seconds", "carried_from")  # where recorded; the last: a result taken over under a new key


@dataclass(frozen=True)
class Notebook:
    """One notebook of a paper: the record of its last good run (None: never), why it is not current, why it failed."""

    run: Run
    record: dict[str, Any] | None
    stale: tuple[str, ...]
    failed: str | None

    @property
    def sound(self) -> bool:
        return self.record is not None and not self.stale and self.failed is None


def notebooks(profile: str, paper: str) -> list[Notebook]:
    """Every notebook of the paper, in alphabetical order, with what its records say."""
    names = sorted(path.stem for path in (places.root() / "notebooks" / paper).glob("*.ipynb"))
    return [_notebook(Run(paper, name, profile)) for name in names]


def _notebook(run: Run) -> Notebook:
    record = records.read(records.file_of(run))
    # A run may be asked for other seeds than the file's; with its own seeds it is judged, all else as the file has it.
    asked = Run(
        run.paper, run.notebook, run.profile, {"seeds": record["seeds"]} if record and record.get("seeds") else {}
    )
    stale = tuple(records.causes(asked)) if record else ("it has not been run yet",)
    return Notebook(run, record, stale, records.failed(run))


def manifest(profile: str, papers: Iterable[str]) -> dict[str, Any]:
    """The manifest of outputs/<profile>: `outputs` (files for people) and `stages` (artifacts that they came from)."""
    home = places.outputs() / profile
    made = [entry for paper in papers for notebook in notebooks(profile, paper) for entry in _outputs(notebook, home)]
    return {"profile": profile, "outputs": made, "stages": list(_stages(home / "runs"))}


def _outputs(notebook: Notebook, home: Path) -> Iterator[dict[str, Any]]:
    record = notebook.record
    for name, sha256 in (record["outputs"] if record else {}).items():
        path = notebook.run.folder / name
        yield {
            "path": path.relative_to(home).as_posix(),
            "sha256": sha256,
            "paper": notebook.run.paper,
            "notebook": notebook.run.notebook,
            "key": record["key"],
            "inputs": _inputs(path),
            **{fact: record[fact] for fact in ABOUT if fact in record},
        }


def _inputs(path: Path) -> list[str]:
    """Keys of the stages whose evidence a table was computed from; empty for other files."""
    note = path.parent / f"{path.name.split('.')[0]}.json"
    return json.loads(note.read_text(encoding="utf-8")).get("inputs", []) if note.is_file() else []


def _stages(runs: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(runs.glob("*/*/record.json")):
        record = json.loads(file.read_text(encoding="utf-8"))
        facts = {fact: record[fact] for fact in STAGE_FACTS if fact in record}
        yield {"path": file.parent.relative_to(runs.parent).as_posix(), **facts}


def behind(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The stages that the tables rest on, directly or through other stages, each with the `papers` that it serves.

    A published stage names its papers already, and is for these alone: another paper may rest on another run of it.
    """
    serves: dict[int, list[str]] = {}
    for paper in sorted({entry["paper"] for entry in found["outputs"]}):
        mine = {one["key"]: place for place, one in enumerate(found["stages"]) if paper in one.get("papers", [paper])}
        wanted = {key for entry in found["outputs"] if entry["paper"] == paper for key in entry["inputs"]}
        for place in _reached(found["stages"], mine, wanted):
            serves.setdefault(place, []).append(paper)
    return [{**found["stages"][place], "papers": papers} for place, papers in sorted(serves.items())]


def _reached(stages: list[dict[str, Any]], places: dict[str, int], wanted: set[str]) -> set[int]:
    """Places of the stages of `wanted` keys and of all that these take, among the stages that `places` finds by key."""
    reached: set[int] = set()
    while wanted:
        place = places.get(wanted.pop())
        if place is not None and place not in reached:
            reached.add(place)
            wanted |= set(stages[place]["inputs"].values())
    return reached


def merged(stages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every run of a stage once, with all papers that it serves. Two runs of one key (another machine, another day)
    are two entries: their results can differ by rounding, and each paper's tables rest on its own."""
    found: dict[str, dict[str, Any]] = {}
    for stage in stages:
        run = json.dumps({fact: value for fact, value in stage.items() if fact != "papers"}, sort_keys=True)
        others = found[run]["papers"] if run in found else []
        found[run] = {**stage, "papers": sorted({*stage["papers"], *others})}
    return sorted(found.values(), key=lambda stage: (stage["path"], stage["papers"]))
