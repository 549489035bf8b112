"""A rehearsal: a notebook's cells run with a store that computes nothing, to learn which stages it would ask for.

Keys are the real ones (the same plan, the same code), so a rehearsed stage can be found among those that were computed.
What only results can tell is unknown (see `standins`); a statement that cannot go on without it is passed over.
"""

import ast
import contextlib
import functools
import hashlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from weakseg.data import sets
from weakseg.metrics import resample
from weakseg.metrics.evidence import Evidence
from weakseg.nets import backbones
from weakseg.study import artifacts, code, counts, plan, run, stages
from weakseg.study.session import Session
from weakseg.study.stages import Artifact, Store
from weakseg.study.standins import UNKNOWN, Absent, CountedPictures, functions_of, swapped, unknowing


@dataclass(frozen=True)
class Asked:
    """A stage that a notebook asks for: its function and arguments, what identifies it, where it would lie."""

    function: Callable
    arguments: dict[str, Any]
    plan: dict[str, Any]
    folder: Path

    @property
    def name(self) -> str:
        """``mask_rcnn.train_mask_rcnn``, as its folder is called."""
        return self.folder.parent.name

    @property
    def inputs(self) -> list[str]:
        """Keys of the artifacts that it takes."""
        return list(self.plan["inputs"].values())


@dataclass
class Rehearsal:
    """What one notebook asks for: stages by key, in order; keys behind each table; statements passed over."""

    run: plan.Run
    asked: dict[str, Asked] = field(default_factory=dict)
    tables: dict[str, list[str]] = field(default_factory=dict)
    passed_over: list[str] = field(default_factory=list)


def rehearse(wanted: plan.Run) -> Rehearsal:
    """Runs the notebook's cells with stand-ins, in this process. Raises what bad params or notebooks raise."""
    parameters, found = run.check(wanted), Rehearsal(wanted)
    with _stage(found):
        names: dict[str, Any] = {"__name__": "__main__", **parameters}
        for cell in plan.code_cells(wanted.source):
            if not cell.takes_parameters:
                exec(_careful(cell, found, names), names)
    return found


def behind(keys: list[str], asked: dict[str, Asked]) -> list[str]:
    """The stages that `keys` rest on, themselves included; those from outside (pictures, weights) left out."""
    reached: dict[str, None] = {}
    open_keys = list(keys)
    while open_keys:
        key = open_keys.pop()
        if key in asked and key not in reached:
            reached[key] = None
            open_keys += asked[key].inputs
    return list(reached)


class Performance:
    """Rehearsed stages, now computed: each once, after its inputs, into a folder of its own below `folder`."""

    def __init__(self, folder: Path, asked: dict[str, Asked]) -> None:
        self.folder, self.asked = folder, asked
        self.made: dict[str, Path] = {}

    def compute(self, one: Asked) -> Path:
        """The stage's folder, made if it was not yet."""
        key = one.plan["key"]
        if key not in self.made:
            arguments, out = self.arguments(one), self.folder / key[:16]
            out.mkdir(parents=True, exist_ok=True)
            one.function(out, **arguments)
            self.made[key] = out
        return self.made[key]

    def arguments(self, one: Asked) -> dict[str, Any]:
        """What the stage takes, with every input computed."""
        return {name: self._real(value) for name, value in one.arguments.items()}

    def _real(self, value: Any) -> Any:
        if isinstance(value, Artifact):
            return Artifact(self.compute(self.asked[value.key]), value.key) if value.key in self.asked else value
        if isinstance(value, dict):
            return {name: self._real(item) for name, item in value.items()}
        return type(value)(map(self._real, value)) if isinstance(value, list | tuple) else value


def _stage(found: Rehearsal) -> Any:
    """Everything that a notebook meets, replaced by what asks, counts, or knows nothing."""
    readers = [f for f in vars(artifacts).values() if callable(f) and getattr(f, "__name__", "").startswith("load_")]
    measuring = [f for f in functions_of("weakseg.metrics") if "out" not in inspect.signature(f).parameters]
    reading = {function: unknowing() for function in [*readers, *measuring, *functions_of("weakseg.plots")]}
    instead = {
        resample.value: lambda *_, **__: 50.0,
        sets.data_root: _root_if_there(sets.data_root),
        sets.open_set: _counted(sets.open_set),
        backbones.find_weights: _weights_if_there(backbones.find_weights),
        stages.external: _external_if_there(stages.external),
        code.closure: functools.cache(code.closure),  # code does not change while we look
        code.methods: functools.cache(code.methods),
    }
    methods = {
        (Evidence, "load"): classmethod(lambda *_: UNKNOWN),
        (Store, "__call__"): functools.partialmethod(_ask, found),
        (Session, "table"): functools.partialmethod(_note_table, found),
        (Session, "figure"): lambda *_, **__: UNKNOWN,
        (Session, "note"): lambda *_, **__: None,
    }
    return swapped({**reading, **instead}, methods)


def _ask(store: Store, found: Rehearsal, stage: Callable, /, **arguments: Any) -> Artifact:
    made = store.plan(stage, **arguments)
    found.asked.setdefault(made["key"], Asked(stage, arguments, made, store.folder(made)))
    return Artifact(Absent(store.folder(made)), made["key"])


def _note_table(_: Session, found: Rehearsal, table: str, measured: Any, reasons: Any = None) -> Any:
    evidence = [getattr(cell, "evidence", None) for cell in measured]
    found.tables[table] = sorted({one.key for one in evidence if isinstance(one, Artifact)})
    return UNKNOWN


def _root_if_there(real: Callable) -> Callable:
    def data_root(data: Any) -> Path:
        try:
            return real(data)
        except FileNotFoundError:
            return Absent("pictures that are not at hand")

    return data_root


def _external_if_there(real: Callable) -> Callable:
    def external(path: Path) -> Artifact:
        if Path(path).exists():
            return real(path)
        return Artifact(Absent(path), hashlib.sha256(str(path).encode()).hexdigest())

    return external


def _weights_if_there(real: Callable) -> Callable:
    def find_weights(weights: str, name: str) -> Path | None:
        try:
            found = real(weights, name)
        except FileNotFoundError:
            return Absent(weights)
        # No file means torchvision's own, and of other nets it has none.
        return Absent(weights) if found is None and name not in get_args(backbones.Name) else found

    return find_weights


def _counted(real: Callable) -> Callable:
    def open_set(artifact: Artifact | Path, data: Any, split: str) -> Any:
        folder = artifact.path if isinstance(artifact, Artifact) else artifact
        if not isinstance(folder, Absent):
            with contextlib.suppress(FileNotFoundError):  # a data root that lacks this list: it is counted as well
                return real(artifact, data, split)
        return CountedPictures(counts.names(data, split), counts.classes(data))

    return open_set


# ---------------------------------------------------------------- cells that go on without results


def _careful(cell: plan.Cell, found: Rehearsal, names: dict[str, Any]) -> Any:
    """The cell's code, each statement in a shelter of its own: when it fails, it is noted and the next one runs."""

    def passed_over(line: int, error: Exception, lost: tuple[str, ...]) -> None:
        if isinstance(error, ImportError | SyntaxError):
            raise error
        found.passed_over.append(
            f"{found.run.notebook} cell {cell.number} line {line}: {type(error).__name__}: {error}"
        )
        for name in lost:
            names[name] = UNKNOWN

    names["__passed_over__"] = passed_over
    tree = ast.parse(cell.text)
    tree.body = list(_sheltered(tree.body))
    return compile(ast.fix_missing_locations(tree), f"<cell {cell.number}>", "exec")


def _sheltered(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        if isinstance(statement, ast.For | ast.While | ast.If | ast.With):
            statement.body = list(_sheltered(statement.body))
            statement.orelse = list(_sheltered(getattr(statement, "orelse", [])))
        yield _shelter(statement) if not isinstance(statement, ast.FunctionDef | ast.ClassDef) else statement


def _shelter(statement: ast.stmt) -> ast.Try:
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    lost = tuple(n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
    shelter = ast.parse(
        f"try:\n pass\nexcept Exception as problem:\n __passed_over__({statement.lineno}, problem, {lost!r})"
    ).body[0]
    shelter.body = [statement]
    return shelter
