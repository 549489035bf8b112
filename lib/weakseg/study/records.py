"""The proof that a notebook ran to its end: a record, written last, and what has changed since it was written."""

import contextlib
import difflib
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from weakseg.study import cards, places
from weakseg.study.plan import Run, digest, key_of, parts

Record = dict[str, Any]
KINDS = ("tables", "figures", "notes")


def file_of(run: Run) -> Path:
    """records/<notebook>.json: the record of the last run that succeeded."""
    return run.records / f"{run.notebook}.json"


def mark_of(run: Run, key: str) -> Path:
    """records/<notebook>.<key>.done: an empty file that a batch engine can wait for; gone when the key changes."""
    return run.records / f"{run.notebook}.{key[:16]}.done"


def failure_of(run: Run) -> Path:
    """records/<notebook>.failed.json: why the last run failed; gone after a success."""
    return run.records / f"{run.notebook}.failed.json"


def read(file: Path) -> Record | None:
    """A record, or None when there is none. A damaged one counts as none: the notebook then runs again."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(file.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) and {"key", "parts", "outputs"} <= set(found) else None
    return None


def write(run: Run, key: str, known: dict, **facts: Any) -> None:
    """Writes the record of a finished run, then the mark of its key."""
    facts |= {"outputs": {name: digest((run.folder / name).read_bytes()) for name in outputs(run)}}
    record = {"key": key, "paper": run.paper, "notebook": run.notebook, "profile": run.profile, "parts": known, **facts}
    places.write_text(file_of(run), json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    failure_of(run).unlink(missing_ok=True)
    mark(run, key)


def write_failure(run: Run, reason: str) -> None:
    """Writes why a run failed, in one line."""
    places.write_text(failure_of(run), json.dumps({"reason": reason}, ensure_ascii=False) + "\n")


def mark(run: Run, key: str) -> None:
    """Leaves exactly one mark: that of `key`."""
    withdraw(run, but=mark_of(run, key))
    mark_of(run, key).touch()


def withdraw(run: Run, but: Path | None = None) -> None:
    """Takes the marks of a run away (all, or all but one), so that nobody takes it for finished."""
    for found in run.records.glob(f"{run.notebook}.*.done"):
        if found != but:
            found.unlink(missing_ok=True)


def outputs(run: Run) -> list[str]:
    """Files that a run made, relative to its folder: the executed notebook and what carries its name as the maker."""
    found = [f"{run.notebook}.ipynb", f"{run.notebook}.html"]
    for kind in KINDS:
        for note in sorted((run.folder / kind).glob("*.json")):
            if _maker(note) == run.notebook:
                mine = (path.name for path in note.parent.glob(f"{note.stem}.*") if _same(path, note))
                found += sorted(f"{kind}/{name}" for name in mine)
    return found


def tidy(run: Run, since: float) -> None:
    """Removes what an earlier version of the notebook made and this one does not (`since`: as time.time())."""
    for name in outputs(run):
        if "/" in name and (run.folder / name).stat().st_mtime < since:
            (run.folder / name).unlink()


def _maker(note: Path) -> str | None:
    """The notebook that a description beside a table or figure names."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return json.loads(note.read_text(encoding="utf-8")).get("notebook")
    return None


def _same(path: Path, note: Path) -> bool:
    """Whether `path` belongs to the id of `note` (fig1.png does, fig1.extra.png does not: another id may hold dots)."""
    return re.fullmatch(re.escape(note.stem) + r"(\.seeds|\.evidence)?\.\w+", path.name) is not None


# ---------------------------------------------------------------- what is stale, and why


def causes(run: Run, known: dict | None = None) -> list[str]:
    """Why a run is not current, one line each; empty when it is. Of several causes all are named."""
    known = known or parts(run)
    record = read(file_of(run))
    if record is None:
        return [*_failed(run), "it has not been run yet" if not file_of(run).exists() else "its record is damaged"]
    changed = [] if record["key"] == key_of(known) else list(_changes(record["parts"], known))
    return [*_failed(run), *changed, *_damaged(run, record)] if changed or _damaged(run, record) else []


def current(run: Run, known: dict) -> bool:
    """Whether the record covers exactly this content and every output is as it was written."""
    record = read(file_of(run))
    return record is not None and record["key"] == key_of(known) and not _damaged(run, record)


def failed(run: Run) -> str | None:
    """Why the last run failed, in one line; None when it did not."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        return json.loads(failure_of(run).read_text(encoding="utf-8"))["reason"]
    return None


def _failed(run: Run) -> list[str]:
    return [f"its last run failed: {reason}"] if (reason := failed(run)) else []


def _damaged(run: Run, record: Record) -> list[str]:
    """Outputs that are gone or not as the run left them."""
    found = []
    for name, expected in record["outputs"].items():
        path = run.folder / name
        if not path.is_file():
            found.append(f"output {name} is missing")
        elif digest(path.read_bytes()) != expected:
            found.append(f"output {name} was changed after the run")
    return found


def _changes(old: dict, new: dict) -> Iterator[str]:
    """One line per difference between two `parts`."""
    yield from _cells(old.get("cell", {}), new["cell"])
    for kind in (kind for kind in new if kind != "cell"):
        before, after = old.get(kind, {}), new[kind]
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name) or (name in before) != (name in after):
                yield _change(kind, name, before, after)


def _change(kind: str, name: str, before: dict, after: dict) -> str:
    """A parameter shows both values; anything else is known by a digest, which says nothing to people."""
    if kind == "parameter":
        show = [json.dumps(side[name]) if name in side else "absent" for side in (before, after)]
        return f"parameter {name}: {show[0]} -> {show[1]}"
    verb = "changed" if name in before and name in after else "is new" if name in after else "is no longer used"
    return f"{kind} {name} {verb}"


def _cells(before: dict, after: dict) -> Iterator[str]:
    """Cells by what they say, not where they stand."""
    names = list(after)
    steps = difflib.SequenceMatcher(None, list(before.values()), list(after.values()), autojunk=False).get_opcodes()
    for step, _, _, start, end in steps:
        if step == "delete":
            yield f"cell removed before {names[start]}" if start < len(names) else "the last cells were removed"
        elif step != "equal":
            yield from (f"cell {name} {'is new' if step == 'insert' else 'changed'}" for name in names[start:end])


# ---------------------------------------------------------------- where it ran


def machine() -> dict[str, Any]:
    """Processor, granted cores, graphics cards and system; asked of the system, so that no driver need load torch."""
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        processor = found[1].strip() if found else processor
    return {"cpu": processor, "cores": cores(), "gpu": ", ".join(cards.names()) or None, "system": platform.platform()}


def cores() -> int:
    """Cores that the system grants: by affinity, and by the quota of a container (cgroup v2, rounded up)."""
    granted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # no cgroup v2, or "max": no limit
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        granted = min(granted, -(-int(quota) // int(period)))
    return max(1, granted)


def versions() -> dict[str, str]:
    """Python and the packages that the project pins, as installed."""
    names = [re.match(r"[\w.-]+", line)[0] for line in metadata.requires("weakseg") or []]
    found = {"python": platform.python_version()}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def commit() -> str | None:
    """The git commit of the project, with '+' when files differ from it; None without git."""
    try:
        head = _git("rev-parse", "HEAD").strip()
        return head + ("+" if _git("status", "--porcelain", "--untracked-files=no").strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*words: str) -> str:
    command, quiet = ["git", "-C", str(places.root()), *words], {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    return subprocess.run(command, env=quiet, check=True, capture_output=True, text=True).stdout
