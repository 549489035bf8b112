"""What there is to run: one notebook of one paper at one profile, and the key that says if its results are current.

A key covers everything that can change a result: the code of the cells, the parameters, the weakseg functions the
cells reach, the paper's reported numbers and claims, real pictures on disk, and the keys of the notebooks it reads.
Words, comments, formatting and file times are not in it. Nothing here imports torch, so that asking is quick.
"""

import argparse
import ast
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydantic
import yaml

from weakseg.study import places
from weakseg.study.code import WEAKSEG, closure_of_source
from weakseg.study.params import Group, canonical, flat, load
from weakseg.study.syntax import uses

NEEDS = {"figures": ("ablations", "baselines")}
"""Notebooks that read what other notebooks of the same paper made."""


class NotebookFailed(Exception):
    """A notebook did not run to its end; the message names the cell and the error in one line."""


@dataclass(frozen=True)
class Run:
    """One notebook of one paper at one profile, with what the command line lays over the params file."""

    paper: str
    notebook: str
    profile: str
    overrides: dict[str, Any] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return f"{self.profile}/{self.paper}/{self.notebook}"

    @property
    def source(self) -> Path:
        """The clean notebook."""
        return places.root() / "notebooks" / self.paper / f"{self.notebook}.ipynb"

    @property
    def folder(self) -> Path:
        """outputs/<profile>/<paper>."""
        return places.outputs() / self.profile / self.paper

    @property
    def records(self) -> Path:
        """outputs/<profile>/<paper>/records."""
        return self.folder / "records"

    def needs(self) -> list["Run"]:
        """The notebooks that must be finished before this one."""
        there = [Run(self.paper, name, self.profile, self.overrides) for name in NEEDS.get(self.notebook, ())]
        return [run for run in there if run.source.is_file()]


def papers(profile: str) -> list[str]:
    """Ids of the papers that have notebooks and a params file for `profile`, in alphabetical order."""
    folders = (places.root() / "notebooks").glob("*/*.ipynb")
    there = sorted({path.parent.name for path in folders})
    return [paper for paper in there if (places.root() / "params" / profile / f"{paper}.yaml").is_file()]


def runs(profile: str, only: Sequence[str] = (), overrides: dict[str, Any] | None = None) -> list[Run]:
    """Every notebook of the papers in `only` (default: all that have notebooks), those that others need first.

    Raises FileNotFoundError in one line for a paper without notebooks or params.
    """
    found = []
    for paper in only or papers(profile):
        places.params_file(profile, paper)
        names = sorted(path.stem for path in (places.root() / "notebooks" / paper).glob("*.ipynb"))
        if not names:
            raise FileNotFoundError(f"notebooks/{paper}: no notebooks there; papers: {', '.join(papers(profile))}")
        found += [Run(paper, name, profile, overrides or {}) for name in sorted(names, key=lambda n: (n in NEEDS, n))]
    if not found:
        raise FileNotFoundError(f"params/{profile}: no paper has notebooks and a params file for this profile")
    return found


def command_line(module: str, about: str) -> argparse.ArgumentParser:
    """A parser of the arguments that say which study is meant: papers, profile, seeds."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=about)
    parser.add_argument("papers", nargs="*", help="default: every paper that has notebooks")
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--seeds", help="in place of the params file's, as 0,1,2")
    return parser


def overrides_of(seeds: str | None, settings: Sequence[str]) -> dict[str, Any]:
    """``--seeds 0,1 --set walk.beta=8`` as {"seeds": [0, 1], "walk.beta": 8}; a value is read as yaml.

    Raises ValueError in one line for what cannot be read so.
    """
    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not (name and equals):
            raise ValueError(f"--set {setting}: write it as group.key=value")
        found[name.strip()] = yaml.safe_load(value)
    if seeds:
        if not all(part.strip().isdigit() for part in str(seeds).split(",")):
            raise ValueError(f"--seeds {seeds}: write whole numbers with commas, as 0,1,2")
        found["seeds"] = [int(part) for part in str(seeds).split(",")]
    return found


# ---------------------------------------------------------------- the notebook's text


@dataclass(frozen=True)
class Cell:
    """One code cell: its place in the notebook (from 1), its text, whether it takes the parameters."""

    number: int
    text: str
    takes_parameters: bool

    @property
    def opening(self) -> str:
        """Its first line, to recognise it by."""
        return (self.text.strip().splitlines() or [""])[0][:60]


def code_cells(notebook: Path) -> list[Cell]:
    """The code cells of a notebook file. FileNotFoundError or ValueError in one line when it cannot be read."""
    if not notebook.is_file():
        beside = ", ".join(sorted(path.stem for path in notebook.parent.glob("*.ipynb"))) or "none"
        raise FileNotFoundError(f"{notebook}: no such notebook; there are: {beside}")
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{notebook}: not a notebook ({error})") from None
    return [
        Cell(number, "".join(cell["source"]), "parameters" in cell["metadata"].get("tags", []))
        for number, cell in enumerate(cells, 1)
        if cell["cell_type"] == "code"
    ]


def parameter_names(notebook: Path) -> list[str]:
    """Names assigned in the cell tagged `parameters`; ValueError when there is not exactly one such cell."""
    tagged = [cell for cell in code_cells(notebook) if cell.takes_parameters]
    if len(tagged) != 1:
        raise ValueError(f"{notebook}: {len(tagged)} cells are tagged 'parameters'; tag exactly one")
    found = (node.targets for node in ast.parse(_plain(tagged[0].text)).body if isinstance(node, ast.Assign))
    return [target.id for targets in found for target in targets if isinstance(target, ast.Name)]


def _plain(text: str) -> str:
    """The cell without lines that only IPython reads (%magic, !shell)."""
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith(("%", "!")))


def _meaning(text: str) -> str:
    """The cell as a syntax tree, so that comments and formatting are gone; as text where it is no plain Python."""
    try:
        return ast.dump(ast.parse(text))
    except SyntaxError:
        return text


# ---------------------------------------------------------------- keys


class _AnyGroups(Group):
    """Takes every group unseen: a key needs the values only, and the paper's own model would import torch."""

    model_config = pydantic.ConfigDict(extra="allow")


def values(run: Run) -> dict[str, Any]:
    """The params file with the overrides laid over it, not yet validated."""
    return load(_AnyGroups, places.params_file(run.profile, run.paper), run.overrides).model_extra


def parts(run: Run) -> dict[str, dict[str, Any]]:
    """Everything the key covers, by kind, then by a name that people know."""
    given = values(run)
    cells = [cell for cell in code_cells(run.source) if not cell.takes_parameters]
    stated = (places.root() / "params" / kind / f"{run.paper}.yaml" for kind in ("reported", "claims"))
    return {
        "parameter": {**dict(flat(canonical(given))), **dict(_borrowed(run, cells))},
        "cell": {f"{cell.number} ({cell.opening})": digest(_meaning(cell.text)) for cell in cells},
        "code": {
            **groups(run.paper),
            **_groups_of(others(run, cells)),
            **_closure("\n".join(_plain(cell.text) for cell in cells)),
        },
        "file": {f"{file.parent.name}/{file.name}": _yaml_digest(file) for file in stated if file.is_file()},
        "pictures": dict(_real_pictures(given)),
        "notebook": {need.notebook: key(need) for need in run.needs()},
    }


def others(run: Run, cells: Sequence[Cell]) -> list[str]:
    """Papers besides the run's own whose params the cells open, Session.open("<paper>", ...), to show their results."""
    calls = (node for cell in cells for node in ast.walk(ast.parse(_plain(cell.text))) if isinstance(node, ast.Call))
    opened = (call.args[0] for call in calls if call.args and ast.unparse(call.func) == "Session.open")
    named = {argument.value for argument in opened if isinstance(argument, ast.Constant)}
    return sorted(named - {run.paper})


def _borrowed(run: Run, cells: Sequence[Cell]) -> Iterator[tuple[str, Any]]:
    """Their parameters, each under its paper's name."""
    for paper in others(run, cells):
        for name, value in flat(canonical(values(Run(paper, run.notebook, run.profile)))):
            yield f"{paper}: {name}", value


def key(run: Run) -> str:
    """Name of this run's content, 64 hex digits."""
    return key_of(parts(run))


def key_of(known: dict[str, dict[str, Any]]) -> str:
    """The key that belongs to `parts`; a cell's number is not in it, for a new cell of words moves those below."""
    return digest(json.dumps({**known, "cell": list(known["cell"].values())}, sort_keys=True))


def digest(content: str | bytes) -> str:
    """sha256 in hex."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def _closure(text: str) -> dict[str, str]:
    """weakseg functions that `text` reaches, with a digest each."""
    found = closure_of_source(ast.unparse(_ModulesByName().visit(ast.parse(text))))
    return {name: value for name, value in found.items() if not name.startswith("<")}


class _ModulesByName(ast.NodeTransformer):
    """``from weakseg.papers.irn import recipe`` as ``import weakseg.papers.irn.recipe as recipe``.

    A name that is imported from somewhere counts as used, all of it; of a module, only what follows the dot.
    """

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        modules = [alias for alias in node.names if WEAKSEG.file(f"{node.module}.{alias.name}")]
        others = [alias for alias in node.names if alias not in modules]
        found = [ast.Import([ast.alias(f"{node.module}.{a.name}", a.asname or a.name)]) for a in modules]
        return [*found, *([ast.ImportFrom(node.module, others, node.level)] if others else [])]


def groups(paper: str) -> dict[str, str]:
    """The classes that the paper's params model is made of, with a digest each: their defaults are parameters too.

    They are found through annotations, which the closure of a function leaves out.
    """
    found: dict[str, str] = {}
    wanted = [(f"weakseg.papers.{paper}.params", "PARAMS")]
    while wanted:
        module, name = wanted.pop()
        parsed = WEAKSEG.module(module)
        ours = parsed is not None and name in parsed.definitions and not module.startswith("weakseg.study.")
        if ours and f"{module}.{name}" not in found:
            found[f"{module}.{name}"], chains, _ = parsed.read(name)
            nodes = (node for statement in parsed.definitions[name] for node in ast.walk(statement))
            noted = (uses(node.annotation) for node in nodes if isinstance(node, ast.AnnAssign))
            wanted += [target for chain in chains.union(*noted) for target in WEAKSEG.resolve(parsed, chain)]
    return found


def _groups_of(papers: Sequence[str]) -> dict[str, str]:
    return {name: value for paper in papers for name, value in groups(paper).items()}


def _yaml_digest(file: Path) -> str:
    """Digest of what a yaml file says, its comments aside."""
    return digest(json.dumps(canonical(load(_AnyGroups, file).model_extra), sort_keys=True))


def _real_pictures(given: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The listing (names and sizes) of a data root on disk; nothing for a drawn set, which the parameters describe."""
    data = given.get("data") or {}
    root = data.get("root") or os.environ.get("WEAKSEG_DATA")
    if data.get("layout", "menagerie") != "menagerie" and root:
        listing = sorted(f"{p.relative_to(root)} {p.stat().st_size}" for p in Path(root).rglob("*") if p.is_file())
        yield "data root", digest("\n".join(listing))
