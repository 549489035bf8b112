"""Runs one notebook, from params to record: ``python -m weakseg.study.run irn ablations --profile demo``.

Under torchrun (``torchrun --nproc-per-node 2 -m weakseg.study.run irn ablations``) the first process does this, and the
others run the same cells beside it, for their share of each training.

Validates before anything runs, executes into a temporary file, renames on success, keeps a failed notebook beside the
last good one, and writes the record last. Two drivers asked for one notebook: one computes, the other waits for it.
"""

import argparse
import contextlib
import difflib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from weakseg.study import cards, places, records
from weakseg.study.params import Group, canonical, load
from weakseg.study.plan import NotebookFailed, Run, key_of, overrides_of, parameter_names, parts

# Everything that counts threads; Snakemake sets most of them to a rule's threads, which are 1.
THREADS = ("WEAKSEG_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
TOGETHER = int(os.environ.get("WORLD_SIZE", 1)) > 1  # several processes of torchrun share one notebook


def run_notebook(run: Run, say: Callable[[str], None] = print, again: bool = False, threads: int = 0) -> bool:
    """Makes a notebook's results current; False when they were. `again` runs it in any case.

    threads: for the kernel and its workers; 0 leaves it to the environment.

    Raises ValueError or FileNotFoundError for bad input (before any work), NotebookFailed when a cell fails, each with
    a message of one line.
    """
    known = parts(run)
    if not again and records.current(run, known):
        records.mark(run, key_of(known))
        return False
    parameters = check(run)
    if TOGETHER and int(os.environ.get("RANK", 0)):
        _accompany(run, parameters)
        return True
    run.records.mkdir(parents=True, exist_ok=True)
    with alone(run, say):
        if not again and records.current(run, known):  # by the process that held the lock
            return False
        with contextlib.nullcontext() if TOGETHER else cards.one():  # together, each takes the card of its number
            _compute(run, parameters, known, say, dict.fromkeys(THREADS, str(threads)) if threads else {})
    return True


def check(run: Run) -> dict[str, Any]:
    """The notebook's parameters by group, every default filled in. Holds file and notebook against the model.

    Raises ValueError or FileNotFoundError in one line that names file, key and mend.
    """
    file = places.params_file(run.profile, run.paper)
    model = _model(run.paper)
    params = load(model, file, run.overrides)
    if getattr(params, "profile", run.profile) != run.profile:
        raise ValueError(f"{file}: profile: must be '{run.profile}', as its folder (got '{params.profile}')")
    _check_cell(run.source, list(model.model_fields), model.__name__)
    return canonical(params)


def _model(paper: str) -> type[Group]:
    try:
        return import_module(f"weakseg.papers.{paper}.params").PARAMS
    except (ModuleNotFoundError, AttributeError) as error:
        raise ValueError(f"weakseg/papers/{paper}/params.py: must define PARAMS, the paper's Group ({error})") from None


def _check_cell(notebook: Path, groups: list[str], model: str) -> None:
    """The parameters cell must name the model's groups, all and only: papermill would merely warn of others."""
    names = parameter_names(notebook)
    if unknown := [name for name in names if name not in groups]:
        nearest = difflib.get_close_matches(unknown[0], groups, n=1)
        mend = f"did you mean '{nearest[0]}'?" if nearest else f"its groups: {', '.join(groups)}"
        raise ValueError(f"{notebook}: parameters cell: {model} has no group '{unknown[0]}'; {mend}")
    if missing := [group for group in groups if group not in names]:
        raise ValueError(f"{notebook}: parameters cell: lacks '{missing[0]}'; add the line {missing[0]} = None")


@contextlib.contextmanager
def alone(run: Run, say: Callable[[str], None]) -> Iterator[None]:
    """Holds the run's lock, which the system frees when its holder dies; says so when it must wait."""
    lock = FileLock(run.records / f"{run.notebook}.lock")
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        say(f"{run} waits: another process is running it")
        held = lock.acquire()
    with held:
        yield


def _compute(
    run: Run, parameters: dict[str, Any], known: dict, say: Callable[[str], None], variables: dict[str, str]
) -> None:
    from weakseg.study.execute import PeakMemory, environment, execute

    partial = run.folder / f".{run.notebook}.running.ipynb"
    began, started = datetime.now(UTC), time.monotonic()
    records.withdraw(run)
    with environment(WEAKSEG_NOTEBOOK=run.notebook, **variables), PeakMemory() as memory:
        try:
            execute(run.source, partial, parameters, str(run), say)
        except NotebookFailed as error:
            _keep_failed(run, partial, str(error))
            raise
    seconds = round(time.monotonic() - started, 1)
    _publish(run, partial, began.timestamp())
    records.write(
        run,
        key_of(known),
        known,
        seeds=list(parameters.get("seeds", ())),
        began=began.isoformat(timespec="seconds"),
        seconds=seconds,
        peak_memory_mb=round(memory.megabytes),
        machine=records.machine(),
        versions=records.versions(),
        commit=records.commit(),
    )
    say(f"{run} done in {seconds:.0f} s, {memory.megabytes:.0f} MB")


def _accompany(run: Run, parameters: dict[str, Any]) -> None:
    """Runs the cells beside the first process: stages are shared with it, tables and figures are thrown away."""
    from weakseg.study.execute import environment, execute

    stages = places.outputs() / run.profile / "runs"
    stages.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, environment(WEAKSEG_OUTPUTS=folder, WEAKSEG_NOTEBOOK=run.notebook):
        (Path(folder) / run.profile).mkdir()
        (Path(folder) / run.profile / "runs").symlink_to(stages, target_is_directory=True)
        execute(run.source, Path(folder) / "beside.ipynb", parameters, str(run), lambda line: None)


def _publish(run: Run, partial: Path, began: float) -> None:
    """Puts the executed notebook and its page in place, and takes away what only earlier versions made."""
    from weakseg.study import pages

    page = partial.with_suffix(".html")
    pages.write(partial, page, title=f"{run.paper}: {run.notebook}")
    os.replace(page, run.folder / f"{run.notebook}.html")
    os.replace(partial, run.folder / f"{run.notebook}.ipynb")
    (run.folder / f"{run.notebook}.failed.ipynb").unlink(missing_ok=True)
    records.tidy(run, began)


def _keep_failed(run: Run, partial: Path, reason: str) -> None:
    """Leaves the failed notebook beside the last good one, and its reason for `make status` and the report."""
    os.replace(partial, run.folder / f"{run.notebook}.failed.ipynb")
    records.write_failure(run, reason)


# ---------------------------------------------------------------- command line


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m weakseg.study.run", description="Run one notebook of one paper.")
    parser.add_argument("paper", help="as in notebooks/<paper>")
    parser.add_argument("notebook", help="as in notebooks/<paper>/<notebook>.ipynb")
    parser.add_argument("--profile", default="demo", help="as in params/<profile> (default: demo)")
    parser.add_argument("--seeds", help="in place of the file's, as 0,1,2")
    parser.add_argument("--set", action="append", default=[], metavar="GROUP.KEY=VALUE", help="likewise any value")
    parser.add_argument("--threads", type=int, default=0, help="for this notebook (default: all that are granted)")
    parser.add_argument("--again", action="store_true", help="run even when nothing changed")
    parser.add_argument("--check", action="store_true", help="only check params and notebook")
    return parser.parse_args(words)


def _say(line: str) -> None:
    print(f"{datetime.now():%H:%M:%S} {line}", flush=True)


def main(words: Sequence[str] | None = None) -> int:
    """0 when the results are current at the end, 1 when a cell failed, 2 for bad input."""
    given = _arguments(words)
    try:
        run = Run(given.paper, given.notebook, given.profile, overrides_of(given.seeds, given.set))
        if given.check:
            check(run)
        elif not run_notebook(run, _say, given.again, given.threads):
            _say(f"{run} is up to date")
    except (ValueError, FileNotFoundError) as error:
        print(f"weakseg: {error}", file=sys.stderr)
        return 2
    except NotebookFailed as error:
        place = run.folder / f"{run.notebook}.failed.ipynb"
        print(f"weakseg: {run} failed: {error}; see {os.path.relpath(place)}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"weakseg: {run} failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
