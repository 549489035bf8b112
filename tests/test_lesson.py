"""The lesson's exercises and the rule of the figures, read from the stored notebooks themselves."""

from pathlib import Path

import numpy as np
import pytest

from weakseg.study.exercises import judge

FOLDER = Path(__file__).resolve().parents[1] / "notebooks" / "irn"
TOPICS = ["cam", "pairs", "affinity", "step", "ap"]


@pytest.fixture(scope="module")
def lesson(functions_of) -> dict:
    """Every function that the lesson defines, without running the rest of it."""
    return functions_of(FOLDER / "lesson.ipynb")


@pytest.mark.parametrize("topic", TOPICS)
def test_a_check_accepts_the_solution_and_says_when_there_is_no_answer(lesson, topic):
    check = lesson[f"check_{topic}"]
    assert judge(lesson[f"solve_{topic}"], check) == "right"
    assert judge(lesson[f"my_{topic}"], check).startswith("no answer yet")


WRONG = {
    "cam": [lambda f, w: np.einsum("d,dhw->hw", w, f), lambda f, w: f.mean(0)],
    "pairs": [lambda r: r**2, lambda r: 2 * len([1 for y in range(r) for x in range(r) if 0 < y * y + x * x < r * r])],
    "affinity": [max, lambda path: 1 - path[0], lambda path: 1 - max(path[0], path[-1])],
    "step": [lambda s, a, beta: s @ (a / a.sum(0)), lambda s, a, beta: s @ a**beta, lambda s, a, beta: s],
    "ap": [
        lambda right, n: right.sum() / n,
        lambda right, n: (np.cumsum(right) * right).sum() / n,
        lambda right, n: 1 / 0,
    ],
}


@pytest.mark.parametrize(("topic", "number"), [(topic, n) for topic, wrong in WRONG.items() for n in range(len(wrong))])
def test_a_check_rejects_wrong_answers_in_words(lesson, topic, number):
    assert judge(WRONG[topic][number], lesson[f"check_{topic}"]).startswith("not yet")


def test_the_step_of_the_exercise_is_the_step_of_the_study(lesson):
    import torch

    from weakseg.ops import affinity
    from weakseg.ops.random_walk import propagate

    rng = np.random.default_rng(0)
    scores, boundary = rng.random((1, 4, 5)).astype(np.float32), rng.random((4, 5)).astype(np.float32)
    full = np.eye(20)
    padded = torch.nn.functional.pad(torch.from_numpy(boundary)[None], (2, 2, 0, 2), value=1.0)
    for values, (dy, dx) in zip(affinity.affinities(padded, 3)[0].numpy(), affinity.offsets(3), strict=True):
        for y, x in np.ndindex(4, 5):
            if y + dy < 4 and 0 <= x + dx < 5:
                full[y * 5 + x, (y + dy) * 5 + x + dx] = full[(y + dy) * 5 + x + dx, y * 5 + x] = values[y, x]
    stepped = lesson["solve_step"](scores.ravel(), full, 4)
    np.testing.assert_allclose(propagate(scores, boundary, 3, 4, 1).ravel(), stepped, rtol=1e-5)
