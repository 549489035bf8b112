"""The exercises of the lesson on guided labelling, read from the stored notebook, and the rule of its figures."""

from pathlib import Path

import numpy as np
import pytest

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
