"""Stages computed beside the notebooks that will ask for them: ``python -m weakseg.study.ahead irn --profile demo``.

Notebooks that run side by side have a share of the cores each, and leave it idle while one waits for a stage that the
other computes, or when only the last of them runs. A stage is the same bytes whoever computes it. So this process
rehearses the notebooks, to learn which stages they will ask for, and computes those that nobody has begun, from the end
on, until no notebook needs any more.
"""

import contextlib
import io
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from weakseg.study import records
from weakseg.study.plan import Run, command_line, key_of, overrides_of, parts, runs
from weakseg.study.rehearsal import Asked, rehearse
from weakseg.study.stages import RECORD, Artifact, Store, lock_of

PAUSE = 1.0  # seconds between two looks at what others compute


def help_out(wanted: Sequence[Run]) -> int:
    """Computes stages of notebooks that have not finished; returns how many. A stage that fails is left to them."""
    began, marks = time.time(), {run: _mark(run) for run in wanted}
    asked = {run: _rehearsed(run) for run in wanted if not marks[run].exists()}
    computed, failed = 0, set[str]()
    while True:
        asked = {run: stages for run, stages in asked.items() if not (marks[run].exists() or _has_failed(run, began))}
        needed = {key: one for stages in asked.values() for key, one in stages.items()}
        ready = [one for one in reversed(needed.values()) if one.plan["key"] not in failed and _is_ready(one, needed)]
        free = next((one for one in ready if _is_free(one.folder)), None)
        if free is not None:
            computed += _compute(free, needed, failed)
        elif ready:
            time.sleep(PAUSE)
        else:
            return computed


def _mark(run: Run) -> Path:
    """The file that is there once the notebook has finished."""
    return records.mark_of(run, key_of(parts(run)))


def _has_failed(run: Run, since: float) -> bool:
    """Whether the notebook's failure was written since that time: then nobody waits for its stages."""
    file = records.failure_of(run)
    return file.is_file() and file.stat().st_mtime > since


def _rehearsed(run: Run) -> dict[str, Asked]:
    """The stages that a notebook will ask for, by key, in its order."""
    with contextlib.redirect_stdout(io.StringIO()):
        return rehearse(run).asked


def _is_ready(one: Asked, known: dict[str, Asked]) -> bool:
    """Whether it is not there, but all that it takes is (what no rehearsed stage makes comes from outside)."""
    made = [known[key].folder for key in one.inputs if key in known]
    return not _is_done(one.folder) and all(_is_done(folder) for folder in made)


def _is_done(folder: Path) -> bool:
    return (folder / RECORD).is_file()


def _is_free(folder: Path) -> bool:
    """Whether no process computes it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock_of(folder), timeout=0):
            return True
    except Timeout:
        return False


def _compute(one: Asked, known: dict[str, Asked], failed: set[str]) -> bool:
    """Whether the stage was computed. Its key may differ from the rehearsed one where only results tell its params."""
    failed.add(one.plan["key"])
    try:
        made = Store(one.folder.parent.parent)(one.function, **_real(one.arguments, known))
    except Exception as error:  # the notebook that asks for it will meet the error and say so
        print(f"{one.name}: left to its notebook ({type(error).__name__}: {error})"[:200], flush=True)
        return False
    return made.path == one.folder


def _real(value: Any, known: dict[str, Asked]) -> Any:
    """A stage's arguments with the folders of its inputs, which the rehearsal took for absent."""
    if isinstance(value, Artifact):
        return replace(value, path=known[value.key].folder) if value.key in known else value
    if isinstance(value, dict):
        return {name: _real(item, known) for name, item in value.items()}
    return type(value)(_real(item, known) for item in value) if isinstance(value, list | tuple) else value


def main(words: Sequence[str] | None = None) -> int:
    """0; 2 for bad input."""
    given = command_line("weakseg.study.ahead", __doc__).parse_args(words)
    try:
        wanted = runs(given.profile, given.papers, overrides_of(given.seeds, []))
        print(f"beside the notebooks: {help_out(wanted)} stages computed")
    except (ValueError, FileNotFoundError) as error:
        print(f"weakseg: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
