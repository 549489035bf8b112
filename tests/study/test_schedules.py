"""Learning rate factors worked by hand."""

import pytest

from weakseg.study.schedules import constant, one_cycle, poly, steps_down


def test_schedules_by_hand():
    assert [poly(0.9)(x) for x in (0.0, 0.5)] == [1.0, pytest.approx(0.535886731)]
    assert constant()(0.7) == 1.0
    assert [steps_down([(0.5, 0.1), (0.8, 0.01)])(x) for x in (0, 0.49, 0.5, 0.79, 0.8, 0.99)] == [
        1,
        1,
        0.1,
        0.1,
        0.01,
        0.01,
    ]
    assert [one_cycle(0.3)(x) for x in (0.0, 0.15, 0.3, 0.65)] == pytest.approx([0.04, 0.52, 1.0, 0.500002])
    assert one_cycle(0.3)(1.0) == pytest.approx(4e-6)
