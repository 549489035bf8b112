"""What a reader is told: right, not yet and why, or that there is no answer."""

import numpy as np

from weakseg.study.exercises import judge, same


def doubled(answer):
    return same(answer(2), 4) or same(answer(np.array([1.0, 3.0])), [2, 6])


def test_answers_are_judged_in_words():
    assert judge(lambda x: 2 * x, doubled) == "right"
    assert judge(lambda x: x + 2, doubled) == "not yet: got [3. 5.], wanted [2, 6]"
    assert judge(lambda x: None, doubled).startswith("no answer yet")
    assert judge(lambda x: 1 / 0, doubled) == "not yet: ZeroDivisionError: division by zero"


def test_another_shape_is_no_answer():
    assert judge(lambda x: np.zeros((2, 3)), lambda answer: same(answer(1), np.zeros(2))).startswith("not yet")
