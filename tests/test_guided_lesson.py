"""The exercises of the lesson on guided labelling, read from the stored notebook, and the rule of its figures."""

import ast
from pathlib import Path

import nbformat
import numpy as np
import pytest

from weakseg.study import plan
from weakseg.study.exercises import judge

FOLDER = Path(__file__).resolve().parents[1] / "notebooks" / "guided_labelling"
TOPICS = ["heat", "pr", "excitation", "component", "divergence"]


@pytest.fixture(scope="module")
def lesson(functions_of) -> dict:
    """Every function that the lesson defines, without running the rest of it."""
    return functions_of(FOLDER / "lesson.ipynb")


@pytest.mark.parametrize("topic", TOPICS)
def test_a_check_accepts_the_solution_and_says_when_there_is_no_answer(lesson, topic):
    assert judge(lesson[f"solve_{topic}"], lesson[f"check_{topic}"]) == "right"
    assert judge(lesson[f"my_{topic}"], lesson[f"check_{topic}"]).startswith("no answer yet")


WRONG = {
    "heat": [lambda f, w: np.einsum("d,dhw->hw", w, f), lambda f, w: f.sum(0) / f.sum(0).max()],
    "pr": [lambda found, true: (100.0, 100.0), lambda found, true: (100 * (found & true).mean(), 100 * true.mean())],
    "excitation": [lambda w, x, p: p @ w, lambda w, x, p: p @ (np.clip(w, 0, None) * x)],
    "component": [lambda seeds: int(seeds.max()), lambda seeds: 255, lambda seeds: "crf"],
    "divergence": [lambda q, p: (p * np.log(p / q)).sum(0).mean(), lambda q, p: (q * np.log(q / p)).sum()],
}


@pytest.mark.parametrize(("topic", "number"), [(topic, n) for topic, wrong in WRONG.items() for n in range(len(wrong))])
def test_a_check_rejects_wrong_answers_in_words(lesson, topic, number):
    assert judge(WRONG[topic][number], lesson[f"check_{topic}"]).startswith("not yet")


def test_the_divergence_of_the_exercise_is_the_loss_of_the_study(lesson):
    import torch

    from weakseg.ops.seed_losses import constrain_loss

    rng = np.random.default_rng(0)
    q, p = (each / each.sum(0) for each in rng.random((2, 3, 8)) + 0.1)
    loss = constrain_loss(*(torch.from_numpy(each).view(1, 3, 2, 4) for each in (p, q)))
    assert float(loss) == pytest.approx(lesson["solve_divergence"](q, p))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
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


def test_every_symbol_of_the_table_is_used_in_the_text():
    cells = {cell["id"]: cell["source"] for cell in nbformat.read(FOLDER / "lesson.ipynb", as_version=4).cells}
    table = [line.split("|")[1] for line in cells["symbols"].splitlines() if line.startswith("| $")]
    text = "".join(source for key, source in cells.items() if key != "symbols")
    symbols = [part.strip(" $") for row in table for part in row.split("$, $")]
    assert len(symbols) > 12
    assert [one for one in symbols if one.split("(")[0].split("_")[0].strip("\\") not in text] == []
