"""Notebooks as they are stored: clean, short cells, words before code, and the parameters that their paper knows."""

import ast
import json
from importlib import import_module
from pathlib import Path

import nbformat
import pytest

from weakseg.study import plan

ROOT = Path(__file__).resolve().parents[1]
PAPERS = sorted((ROOT / "notebooks").glob("*/*.ipynb"))
NOTEBOOKS = [*PAPERS, ROOT / "notebooks" / "bench.ipynb"]  # which belongs to no paper
LONGEST = 14


def name(path: Path) -> str:
    return path.relative_to(ROOT / "notebooks").as_posix()


@pytest.fixture(params=NOTEBOOKS, ids=name)
def path(request) -> Path:
    return request.param


@pytest.fixture
def notebook(path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def test_every_paper_has_its_four_notebooks():
    assert PAPERS
    for folder in {path.parent for path in PAPERS}:
        assert {path.stem for path in folder.glob("*.ipynb")} == {"lesson", "ablations", "baselines", "figures"}


def test_stored_without_outputs_counts_and_traces_of_a_machine(path, notebook):
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}, f"{name(path)}: metadata {dict(cell.metadata)}"
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None, f"{name(path)}: {cell.source[:40]}"
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec == {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert notebook.metadata.get("language_info", {"name": "python"}) == {"name": "python"}


@pytest.mark.parametrize("path", PAPERS, ids=name)
def test_the_parameters_cell_names_the_groups_of_the_paper(path):
    model = import_module(f"weakseg.papers.{path.parent.name}.params").PARAMS
    assert sorted(plan.parameter_names(path)) == sorted(model.model_fields)


def test_cells_are_short_and_words_come_first(path, notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    lengths = [len(cell.source.splitlines()) for cell in code if "parameters" not in cell.metadata.get("tags", [])]
    assert max(lengths) <= LONGEST and sorted(lengths)[len(lengths) // 2] <= 10, f"{name(path)}: {lengths}"
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds[0] == "markdown" and notebook.cells[0].source.startswith("# ")
    assert all(not all(kind == "code" for kind in kinds[i : i + 6]) for i in range(len(kinds) - 5)), (
        "explain more often"
    )


def test_code_is_plain_python(path):
    """No magics and no shell: what a notebook does must be seen by its key, and run wherever Python runs."""
    for cell in plan.code_cells(path):
        compile(cell.text, f"{name(path)} cell {cell.number}", "exec")


def test_ids_of_cells_are_unique(path):
    ids = [cell["id"] for cell in json.loads(path.read_text())["cells"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("path", PAPERS, ids=name)
def test_pictures_are_drawn_by_plots_alone_and_only_after_the_switch_was_set(path):
    """Only weakseg.plots draws, so its one switch hides every photograph."""
    code = [cell.text for cell in plan.code_cells(path)]
    imported = {
        alias.name.split(".")[0] if isinstance(node, ast.Import) else node.module.split(".")[0]
        for node in ast.walk(ast.parse("\n".join(code)))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert not imported & {"matplotlib", "PIL", "cv2", "skimage", "seaborn", "IPython"}
    opened = next(number for number, cell in enumerate(code) if "Session.open" in cell)
    assert "show_pictures(s.params.data)" in code[opened] or not any(".image(" in cell for cell in code)


@pytest.mark.parametrize("path", [path for path in PAPERS if path.stem == "lesson"], ids=name)
def test_every_symbol_of_a_lesson_is_used_in_its_text(notebook):
    cells = {cell["id"]: cell["source"] for cell in notebook.cells}
    table = [line.split("|")[1] for line in cells["symbols"].splitlines() if line.startswith("| $")]
    text = "".join(source for key, source in cells.items() if key != "symbols")
    symbols = [part.strip(" $") for row in table for part in row.split("$, $")]
    assert len(symbols) > 12
    assert [one for one in symbols if one.split("(")[0].split("_")[0].strip("\\") not in text] == []
