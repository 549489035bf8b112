"""The exercises of the lesson on community learning, read from the stored notebook, and the rule of its figures."""

from pathlib import Path

import numpy as np
import pytest

from weakseg.study.exercises import judge

FOLDER = Path(__file__).resolve().parents[1] / "notebooks" / "community_learning"
TOPICS = ["phi", "labels", "moved", "pooled", "masks"]


@pytest.fixture(scope="module")
def lesson(functions_of) -> dict:
    """Every function that the lesson defines, without running the rest of it."""
    return functions_of(FOLDER / "lesson.ipynb")


@pytest.mark.parametrize("topic", TOPICS)
def test_a_check_accepts_the_solution_and_says_when_there_is_no_answer(lesson, topic):
    assert judge(lesson[f"solve_{topic}"], lesson[f"check_{topic}"]) == "right"
    assert judge(lesson[f"my_{topic}"], lesson[f"check_{topic}"]).startswith("no answer yet")


def softmax(x, axis):
    return np.exp(x) / np.exp(x).sum(axis, keepdims=True)


WRONG = {
    "phi": [
        lambda x, w: softmax(x, 1).sum(0),
        lambda x, w: (softmax(x, 0) * softmax(w, 1)).sum(0),
        lambda x, w: (softmax(x, 1) * softmax(w, 0)).max(0),
    ],
    "labels": [
        lambda overlap, classes: np.where(overlap.max(1) > 0.5, overlap.argmax(1) + 1, 0),
        lambda overlap, classes: np.where(overlap[:, 0] >= 0.5, classes[0], classes[1]),
    ],
    "moved": [lambda box, t: box, lambda box, t: np.concatenate([box[:2] + t[:2], box[2:] * np.exp(t[2:])])],
    "pooled": [
        lambda f, w: np.log1p(f).mean((1, 2)),
        lambda f, w: np.log1p((f * w).sum((1, 2))),
    ],
    "masks": [lambda M, S, xi: M > xi, lambda M, S, xi: (M + S) > xi, lambda M, S, xi: np.maximum(M, S) > xi],
}


@pytest.mark.parametrize(("topic", "number"), [(topic, n) for topic, wrong in WRONG.items() for n in range(len(wrong))])
def test_a_check_rejects_wrong_answers_in_words(lesson, topic, number):
    assert judge(WRONG[topic][number], lesson[f"check_{topic}"]).startswith("not yet")


def test_the_exercises_are_what_the_study_computes(lesson):
    import torch

    from weakseg.ops import box_regression, multiple_instance

    rng = np.random.default_rng(0)
    x, w = (torch.from_numpy(each) for each in rng.normal(size=(2, 5, 3)))
    z = multiple_instance.midn_scores(x, w, torch.zeros(5, dtype=torch.long), 1)
    np.testing.assert_allclose(z.sum(0), lesson["solve_phi"](x.numpy(), w.numpy()))
    box, target = torch.tensor([[2.0, 3, 12, 9]]), torch.tensor([[4.0, 1, 10, 11]])
    found = lesson["solve_moved"](box[0].numpy(), box_regression.offsets(box, target)[0].numpy())
    np.testing.assert_allclose(found, target[0], rtol=1e-5)
