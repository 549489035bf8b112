"""Stages: named functions from params and input artifacts to an artifact folder, computed once and kept by content.

    artifact = store(train_classifier, pictures=pictures, classifier=params.classifier, seed=0)

The key is a hash of the params, the inputs' keys and the code that the stage reaches. Work happens in a ``.partial``
folder that is renamed when it is complete; then ``record.json`` is written: what has a record is finished.
"""

import contextlib
import errno
import hashlib
import inspect
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from filelock import FileLock, Timeout

from weakseg.study import code, machine
from weakseg.study.params import Group, canonical, flat

RECORD = "record.json"


@dataclass(frozen=True)
class Artifact:
    """A finished folder; `key` identifies its content."""

    path: Path
    key: str

    def __truediv__(self, name: str) -> Path:
        return self.path / name


def external(path: Path) -> Artifact:
    """Data from outside (a data root, a weights file) as an input: its key is the listing of names and sizes.

    Raises FileNotFoundError when there is nothing at `path`.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such data; give its folder in the params or in WEAKSEG_DATA")
    # Recipes ask for their pictures at every step; 100,000 files are listed again only when a folder has changed.
    if path not in _LISTED or any(_changed(folder) != then for folder, then in _LISTED[path][0].items()):
        folders = [path, *(Path(folder) for folder, _, _ in os.walk(path, followlinks=True))]
        _LISTED[path] = {folder: _changed(folder) for folder in folders}, _hash(sorted(_listing(path)))
    return Artifact(path, _LISTED[path][1])


_LISTED: dict[Path, tuple[dict[Path, int | None], str]] = {}  # data -> (when its folders changed, its key)


def _changed(path: Path | str) -> int | None:
    return os.stat(path).st_mtime_ns if os.path.exists(path) else None


def _listing(path: Path) -> Iterator[tuple[str, int]]:
    if path.is_file():
        yield path.name, path.stat().st_size
    for folder, _, names in os.walk(path, followlinks=True):
        for name in names:
            file = os.path.join(folder, name)
            yield os.path.relpath(file, path).replace(os.sep, "/"), os.stat(file).st_size


class Store:
    """Computes stages into ``<root>/<module tail>.<function>/<key>/`` and finds them again."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def __call__(self, stage: Callable, /, **arguments: Any) -> Artifact:
        """The artifact of ``stage(out, **arguments)``: found, or computed by exactly one of the processes that ask.

        Arguments: artifacts (or dicts, lists of them), params groups, plain JSON values. Under torchrun every process
        runs the stage, so that all take part in its training; the first one's folder is kept.
        Raises TypeError for other arguments, OSError of one line on a full disk, else what the stage raises.
        """
        plan = self.plan(stage, **arguments)
        record = self.folder(plan) / RECORD
        if not machine.from_first(record.is_file()):
            with _one_at_a_time(record.parent, plan["stage"]):
                if not machine.from_first(record.is_file()):
                    self._compute(stage, arguments, plan) if machine.rank() == 0 else _take_part(stage, arguments)
            machine.from_first(None)  # nobody reads on before the first process has finished
        return Artifact(record.parent, plan["key"])

    def plan(self, stage: Callable, /, **arguments: Any) -> dict[str, Any]:
        """What identifies the result: stage, params, inputs (name -> key), code (name -> hash), and their hash: key."""
        name = f"{stage.__module__}.{stage.__qualname__}"
        try:
            inspect.signature(stage).bind(None, **arguments)
        except TypeError as error:
            raise TypeError(f"stage {name}: {error}") from None
        inputs = {where: one.key for where, one in _artifacts(arguments)}
        params = {where: canonical(value) for where, value in arguments.items() if not _holds_artifacts(value)}
        reached = code.closure(stage)
        for kind in {type(group) for group in _groups(list(arguments.values()))}:
            reached |= code.methods(kind)
        plan = {"stage": name, "params": params, "inputs": inputs, "code": dict(sorted(reached.items()))}
        return {**plan, "key": _hash(plan)}

    def folder(self, plan: dict[str, Any]) -> Path:
        """Where the artifact of a plan lies, finished or not."""
        module, function = plan["stage"].rsplit(".", 1)
        return self.root / f"{module.rsplit('.', 1)[-1]}.{function}" / plan["key"][:16]

    def why(self, stage: Callable, /, **arguments: Any) -> list[str]:
        """Why the stage would be computed: what differs from the most similar earlier record; [] when it is there."""
        plan = self.plan(stage, **arguments)
        folder = self.folder(plan)
        return [] if (folder / RECORD).is_file() else why(folder.parent, plan)

    def _compute(self, stage: Callable, arguments: dict[str, Any], plan: dict[str, Any]) -> None:
        code.refuse_stale(plan["code"])
        folder = self.folder(plan)
        partial = folder.with_name(f"{folder.name}.partial")
        resumed = _prepare(partial, folder)
        causes = why(folder.parent, plan)
        more = f" and {len(causes) - 4} more" if len(causes) > 4 else ""
        print(f"{folder.parent.name} {folder.name}: computing ({'; '.join(causes[:4])}{more})", flush=True)
        began, used = time.perf_counter(), machine.core_seconds()
        try:
            stage(partial, **arguments)
            took = {"seconds": time.perf_counter() - began, "core_seconds": machine.core_seconds() - used}
            _finish(partial, folder, {**plan, **{k: round(v, 3) for k, v in took.items()}, "resumed": resumed})
        except Exception as error:
            if _disk_is_full(error, self.root):
                raise OSError(
                    errno.ENOSPC, f"{plan['stage']}: the disk of {self.root} is full; free space and start again"
                ) from error
            raise


def why(folder: Path, plan: dict[str, Any]) -> list[str]:
    """What differs between `plan` and the most similar record among the artifacts of its stage in `folder`."""
    records = [json.loads(file.read_text()) for file in sorted(folder.glob(f"*/{RECORD}"))]
    differences = sorted((explain(old, plan) for old in records), key=len)
    return differences[0] if differences else ["new"]


def explain(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Lines naming what differs: ``param classifier.lr 0.1 -> 0.2``, ``input cams``, ``code weakseg.ops.cam.cam``."""
    before, after = dict(flat(old["params"])), dict(flat(new["params"]))
    lines = []
    for name in sorted(before.keys() | after.keys()):
        left, right = (json.dumps(side[name]) if name in side else "absent" for side in (before, after))
        lines += [f"param {name} {left} -> {right}"] if left != right else []
    for group, word in (("inputs", "input"), ("code", "code")):
        names = sorted(old[group].keys() | new[group].keys())
        lines += [f"{word} {name}" for name in names if old[group].get(name) != new[group].get(name)]
    return lines


def read_record(artifact: Artifact) -> dict[str, Any]:
    """The record of a finished stage: stage, key, params, inputs, code, times, versions, machine, files (sha256)."""
    return json.loads((artifact / RECORD).read_text())


def verify(artifact: Artifact) -> list[str]:
    """One line for every file that is missing, changed or unrecorded; empty when all is as it was written."""
    if not (artifact / RECORD).is_file():
        return [f"{artifact.path}: not finished (no {RECORD})"]
    recorded, found = read_record(artifact)["files"], dict(_checksums(artifact.path))
    said = {name: "missing" for name in recorded.keys() - found.keys()}
    said |= {name: "not in the record" for name in found.keys() - recorded.keys()}
    said |= {name: "changed" for name in recorded.keys() & found.keys() if recorded[name] != found[name]}
    return [f"{artifact / name}: {said[name]}" for name in sorted(said)]


# ---------------------------------------------------------------- arguments


def _artifacts(value: Any, where: str = "") -> Iterator[tuple[str, Artifact]]:
    """(dotted place, artifact) of every artifact inside nested dicts and lists."""
    if isinstance(value, Artifact):
        yield where, value
    elif isinstance(value, dict | list | tuple):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _artifacts(item, f"{where}.{name}" if where else str(name))


def _holds_artifacts(value: Any) -> bool:
    return any(True for _ in _artifacts(value))


def _groups(value: Any) -> Iterator[Group]:
    """Every params group inside `value`, nested ones too."""
    if isinstance(value, Group):
        yield value
        value = [getattr(value, name) for name in type(value).model_fields]
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _groups(item)


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


# ---------------------------------------------------------------- on disk


def _take_part(stage: Callable, arguments: dict[str, Any]) -> None:
    """Runs a stage beside the first process, for its share of the training; what it writes is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        stage(Path(folder), **arguments)


def _one_at_a_time(folder: Path, stage: str) -> contextlib.AbstractContextManager:
    """The lock of one artifact, held; the system gives it back when its holder is killed."""
    if machine.rank() > 0:  # the first process holds it for all
        return contextlib.nullcontext()
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_of(folder))
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        print(f"{stage} {folder.name}: another process computes it; waiting", flush=True)
        return lock.acquire()


def lock_of(folder: Path) -> Path:
    """The file whose lock a process holds while it computes the artifact of `folder`."""
    return folder.with_name(f".{folder.name}.lock")


def _prepare(partial: Path, folder: Path) -> bool:
    """An empty partial folder, but for the checkpoints of a killed run; True when there are some."""
    shutil.rmtree(folder, ignore_errors=True)  # a folder without a record is no artifact
    partial.mkdir(exist_ok=True)
    kept = False
    for file in sorted(partial.rglob("*"), reverse=True):
        if file.is_dir() and not file.is_symlink():
            if not any(file.iterdir()):
                file.rmdir()
        elif file.name.startswith("checkpoint"):
            kept = True
        else:
            file.unlink()
    return kept


def _finish(partial: Path, folder: Path, record: dict[str, Any]) -> None:
    """Renames the complete folder and writes its record, each step once the one before is safely on the disk."""
    versions = {"python": platform.python_version(), "torch": torch.__version__, "numpy": numpy.__version__}
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    about = {"versions": versions, "machine": machine.describe(), "made": made}
    record = {**record, **about, "files": dict(_checksums(partial))}
    _sync(partial, *partial.rglob("*"))
    os.replace(partial, folder)
    _sync(folder.parent)
    with open(folder / f".{RECORD}.tmp", "w", encoding="utf-8") as file:
        file.write(json.dumps(record, indent=1))
        file.flush()
        os.fsync(file.fileno())
    os.replace(folder / f".{RECORD}.tmp", folder / RECORD)
    _sync(folder)


def _checksums(folder: Path) -> Iterator[tuple[str, str]]:
    """(name, sha256) of every file but the record."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / RECORD:
            with open(path, "rb") as file:
                yield path.relative_to(folder).as_posix(), hashlib.file_digest(file, "sha256").hexdigest()


def _sync(*paths: Path) -> None:
    """Forces files and folders to the disk; many at once, which a journal writes together (2,000 in 0.2 s, not 5)."""
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(_sync_one, paths))


def _sync_one(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _disk_is_full(error: Exception, folder: Path) -> bool:
    """Libraries report a full disk each in their own way (RuntimeError from torch, their own type from safetensors)."""
    said = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
    return said or (isinstance(error, OSError | RuntimeError) and shutil.disk_usage(folder).free < 1 << 16)
