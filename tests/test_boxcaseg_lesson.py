"""The exercises of the lesson on BoxCaseg, read from the stored notebook, and the rule of its figures."""

from pathlib import Path

import numpy as np
import pytest

from weakseg.study.exercises import judge

FOLDER = Path(__file__).resolve().parents[1] / "notebooks" / "boxcaseg"
TOPICS = ["bags", "mil", "transfer", "mask", "agreement"]


@pytest.fixture(scope="module")
def lesson(functions_of) -> dict:
    """Every function that the lesson defines, without running the rest of it."""
    return functions_of(FOLDER / "lesson.ipynb")


@pytest.mark.parametrize("topic", TOPICS)
def test_a_check_accepts_the_solution_and_says_when_there_is_no_answer(lesson, topic):
    assert judge(lesson[f"solve_{topic}"], lesson[f"check_{topic}"]) == "right"
    assert judge(lesson[f"my_{topic}"], lesson[f"check_{topic}"]).startswith("no answer yet")


def mask_area(mask, box):
    return mask.sum() / ((box[2] - box[0]) * (box[3] - box[1]))


WRONG = {
    "bags": [lambda box, h, w: np.ones(h + w), lambda box, h, w: np.zeros(h + w), lambda box, h, w: 1 / 0],
    "mil": [
        lambda S, inside: -np.where(inside, np.log(S), np.log(1 - S)).mean(),
        lambda S, inside: -np.log(S.max(1)).mean(),
    ],
    "transfer": [
        lambda w, A1, a1, A2, a2: (w @ A1.T + a1) @ A2.T + a2,
        lambda w, A1, a1, A2, a2: np.clip(w @ A1.T + a1, 0, None) @ A2.T + a2,
    ],
    "mask": [lambda level: level > 0.5, lambda level: level > level.mean()],
    "agreement": [mask_area, lambda mask, box: 1.0],
}


@pytest.mark.parametrize(("topic", "number"), [(topic, n) for topic, wrong in WRONG.items() for n in range(len(wrong))])
def test_a_check_rejects_wrong_answers_in_words(lesson, topic, number):
    assert judge(WRONG[topic][number], lesson[f"check_{topic}"]).startswith("not yet")


def test_the_answers_of_the_exercises_are_those_of_the_study(lesson):
    import torch

    from weakseg.ops.bags import filled_boxes, line_maxima, mil_loss
    from weakseg.ops.proxy_masks import agreement
    from weakseg.papers.boxcaseg.model import WeightTransfer

    rng, box = np.random.default_rng(0), (2, 1, 6, 4)
    inside = filled_boxes(torch.tensor([box]), 7, 8)
    assert line_maxima(inside)[0].int().tolist() == lesson["solve_bags"](box, 7, 8).tolist()
    chance = rng.uniform(0.05, 0.95, (7, 8))
    loss = float(mil_loss(torch.logit(torch.from_numpy(chance))[None], inside))
    assert loss == pytest.approx(lesson["solve_mil"](chance, inside[0].numpy()))
    mask = rng.random((7, 8)) < 0.3
    assert agreement(mask[None], np.array([box]))[0] == pytest.approx(lesson["solve_agreement"](mask, box))
    layer, transfer = torch.nn.Conv2d(4, 3, 1), WeightTransfer(4)
    first, _, second = transfer.mlp
    with torch.no_grad():
        parts = (layer.weight[:, :, 0, 0], first.weight, first.bias, second.weight, second.bias)
        made = lesson["solve_transfer"](*(part.numpy() for part in parts))
        np.testing.assert_allclose(transfer(layer)[0][:, :, 0, 0].numpy(), made, atol=1e-6)
