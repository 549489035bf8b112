"""The exercises of the lesson on WSID-Net, read from the stored notebook, and the rule of its figures."""

from pathlib import Path

import numpy as np
import pytest
import torch

from weakseg.nets.attention import DoubleAttention
from weakseg.ops.counts import Votes, soft_count
from weakseg.study.exercises import judge

FOLDER = Path(__file__).resolve().parents[1] / "notebooks" / "wsid_net"
TOPICS = ["votes", "soft", "regression", "attention", "agreement"]


@pytest.fixture(scope="module")
def lesson(functions_of) -> dict:
    """Every function that the lesson defines, without running the rest of it."""
    return functions_of(FOLDER / "lesson.ipynb")


@pytest.mark.parametrize("topic", TOPICS)
def test_a_check_accepts_the_solution_and_says_when_there_is_no_answer(lesson, topic):
    assert judge(lesson[f"solve_{topic}"], lesson[f"check_{topic}"]) == "right"
    assert judge(lesson[f"my_{topic}"], lesson[f"check_{topic}"]).startswith("no answer yet")


WRONG = {
    "votes": [lambda field: field, lambda field: np.mgrid[: field.shape[1], : field.shape[2]] - field],
    "soft": [lambda votes, width: len(votes), lambda votes, width: 1.0],
    "regression": [
        lambda votes, cells, groups: np.abs(votes - cells).mean(),
        lambda votes, cells, groups: np.abs(votes - cells.mean(0)).mean(),
    ],
    "attention": [
        lambda f, channel, place: f * channel[:, None, None] * place,
        lambda f, channel, place: f * channel[:, None, None],
    ],
    "agreement": [lambda instance, region: (1.0, 1.0), lambda instance, region: 1 / 0],
}


@pytest.mark.parametrize(("topic", "number"), [(topic, n) for topic, wrong in WRONG.items() for n in range(len(wrong))])
def test_a_check_rejects_wrong_answers_in_words(lesson, topic, number):
    assert judge(WRONG[topic][number], lesson[f"check_{topic}"]).startswith("not yet")


def test_the_soft_count_of_the_exercise_is_that_of_the_study(lesson):
    votes = np.random.default_rng(0).normal(size=(9, 2)) * 4
    given = torch.from_numpy(votes)[None]
    counted = soft_count(Votes(given, given, torch.ones(1, 9, dtype=given.dtype), torch.tensor([9])), 1.5)
    assert float(counted) == pytest.approx(lesson["solve_soft"](votes, 1.5))


def test_the_attention_of_the_exercise_is_that_of_the_study(lesson):
    torch.manual_seed(0)
    module, f = DoubleAttention(6, reduction=2), torch.rand(1, 6, 5, 4)
    with torch.no_grad():
        weights = module.channel(f)[0, :, 0, 0].numpy(), module.spatial(f)[0, 0].numpy()
        np.testing.assert_allclose(module(f)[0].numpy(), lesson["solve_attention"](f[0].numpy(), *weights), rtol=1e-5)
