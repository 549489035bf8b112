"""A dozen small drawn pictures; and for the runner's tests a study of its own.

The study lies in a temporary folder, with this package, a tiny paper, its notebooks and params.
"""

import ast
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest

from weakseg.data.menagerie import MenagerieParams
from weakseg.data.sets import DataParams, pictures
from weakseg.study import plan
from weakseg.study.exercises import same
from weakseg.study.stages import Store

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def functions_of() -> Callable[[Path], dict]:
    """Every function that a lesson's cells define, by name, without running the rest of it."""

    def read(notebook: Path) -> dict:
        tree = ast.parse("\n".join(cell.text for cell in plan.code_cells(notebook)))
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        namespace = {"np": np, "same": same}
        exec(compile(ast.Module(functions, []), notebook.stem, "exec"), namespace)
        return namespace

    return read


PARAMS = """
from weakseg.study.params import Group

class Sum(Group):
    first: int = 1
    second: int = 2

class TinyParams(Group):
    profile: str
    seeds: tuple[int, ...]
    sum: Sum

PARAMS = TinyParams
"""
ARITHMETIC = '''
def add(first, second):
    """Adds."""
    return first + second

def unused():
    return 0
'''
REPORT = """
import sys
from weakseg.study import places

def main():
    print("report", *sys.argv[1:])
    places.write_text(places.outputs() / sys.argv[2] / "index.html", "<p>report</p>")

main()
"""


@dataclass(frozen=True)
class Study:
    """A project folder and the ways to drive it."""

    root: Path

    @property
    def out(self) -> Path:
        return self.root / "outputs" / "toy" / "tiny"

    @property
    def environment(self) -> dict[str, str]:
        given = {name: value for name, value in os.environ.items() if not name.startswith("WEAKSEG_")}
        return {**given, "PYTHONPATH": str(self.root / "lib"), "OMP_NUM_THREADS": "1"}

    def notebook(self, name: str, *cells: str) -> Path:
        """Writes notebooks/tiny/<name>.ipynb with a parameters cell and `cells`; a cell that opens with # is words."""
        new = nbformat.v4
        takes = new.new_code_cell("profile = None\nseeds = None\nsum = None", metadata={"tags": ["parameters"]})
        rest = [new.new_markdown_cell(c) if c.startswith("# ") else new.new_code_cell(c) for c in cells]
        path = self.root / "notebooks" / "tiny" / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(new.new_notebook(cells=[takes, *rest]), path)
        return path

    def params(self, text: str) -> None:
        """Writes params/toy/tiny.yaml."""
        path = self.root / "params" / "toy" / "tiny.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def start(self, *words: str, **variables: str) -> subprocess.Popen:
        """Starts `python -m <words>` in the project's folder, in a session of its own."""
        pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
        return subprocess.Popen(
            [sys.executable, "-m", *words], cwd=self.root, env={**self.environment, **variables}, **pipe
        )

    def kill(self, process: subprocess.Popen) -> None:
        """SIGKILL for a process and all that it started, kernels too."""
        kill_tree(process)
        process.communicate(timeout=30)

    def python(self, *words: str, **variables: str) -> tuple[int, str]:
        """Exit code and everything printed by `python -m <words>`."""
        process = self.start(*words, **variables)
        try:
            said, _ = process.communicate(timeout=300)
        finally:
            kill_tree(process)
        return process.returncode, said

    def run(self, notebook: str, *words: str) -> tuple[int, str]:
        """Runs one notebook by the driver."""
        return self.python("weakseg.study.run", "tiny", notebook, "--profile", "toy", *words)

    def batch(self, *words: str) -> Sequence[str]:
        """The command line of the batch, for `start` or `python`."""
        return ("snakemake", "-s", str(ROOT / "Snakefile"), "-c2", "--config", "profile=toy", "ahead=0", *words)

    def text(self, notebook: str) -> str:
        """All text that the executed notebook shows."""
        cells = nbformat.read(self.out / f"{notebook}.ipynb", as_version=4).cells
        shown = (output for cell in cells if cell.cell_type == "code" for output in cell.outputs)
        return "".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in shown)


def kill_tree(process: subprocess.Popen) -> None:
    """SIGKILL for a process and all that it started."""
    if process.poll() is None:
        for one in [*psutil.Process(process.pid).children(recursive=True), process]:
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                one.kill()


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A study with one paper, `tiny`, whose only notebook `sums` adds two numbers by a library function."""
    root = tmp_path / "a {study} here"  # braces and blanks: papermill reads {x} in a path as a field
    shutil.copytree(ROOT / "lib" / "weakseg", root / "lib" / "weakseg", ignore=shutil.ignore_patterns("__pycache__"))
    paper = root / "lib" / "weakseg" / "papers" / "tiny"
    paper.mkdir()
    for name, text in {"__init__": "", "params": PARAMS, "arithmetic": ARITHMETIC}.items():
        (paper / f"{name}.py").write_text(text)
    (root / "lib" / "weakseg" / "study" / "report.py").write_text(REPORT)
    # jsonschema can do without this one, which builds a grammar for over a second in each process.
    (root / "lib" / "rfc3987_syntax.py").write_text("raise ImportError")
    shutil.copy(ROOT / "pyproject.toml", root)
    made = Study(root)
    made.params("profile: toy\nseeds: [0]\nsum: {first: 3, second: 4}\n")
    made.notebook("sums", "# Sums", "from weakseg.papers.tiny.arithmetic import add", "print('sum', add(**sum))")
    return made


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """(store, pictures artifact, data params) of a Menagerie of a dozen pictures, with a salient set."""
    store = Store(tmp_path_factory.mktemp("runs"))
    few = MenagerieParams(size=64, classes=3, n_trainaug=12, n_train=4, n_val=4, n_tune=2, n_salient=6,
                          n_salient_test=1, n_ilso=2, coco=False)  # fmt: skip
    data = DataParams(menagerie=few)
    return store, pictures(store, data), data
