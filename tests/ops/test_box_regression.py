"""Box regression: equation 14 by hand, and that the targets invert exactly."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.ops import box_regression as reg


def test_offsets_by_hand():
    """From centre (5, 5), sides 10, to centre (10, 7), sides 20 and 5."""
    found = reg.offsets(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[0.0, 4.5, 20, 9.5]]))
    assert found[0].tolist() == pytest.approx([0.5, 0.2, math.log(2), math.log(0.5)])


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 500), min_size=4, max_size=4), st.lists(st.integers(1, 300), min_size=4, max_size=4))
def test_targets_invert_exactly(corner, side):
    proposal = torch.tensor([[corner[0], corner[1], corner[0] + side[0], corner[1] + side[1]]], dtype=torch.float64)
    target = torch.tensor([[corner[2], corner[3], corner[2] + side[2], corner[3] + side[3]]], dtype=torch.float64)
    within = (target[:, 2:] - target[:, :2]) / (proposal[:, 2:] - proposal[:, :2]) <= 1000 / 16
    back = reg.moved(proposal, reg.offsets(proposal, target))
    if within.all():
        assert torch.allclose(back, target, atol=1e-9)
    else:  # beyond the clamp the sides stop at 62.5 times the proposal's
        assert (back[:, 2:] - back[:, :2] <= (target[:, 2:] - target[:, :2]) + 1e-6).all()


def test_huge_offsets_stay_finite():
    assert torch.isfinite(reg.moved(torch.tensor([[0.0, 0, 4, 4]]), torch.full((1, 4), 1e3))).all()


def test_boxes_are_cut_to_the_picture():
    boxes = torch.tensor([[-5.0, -5, 50, 50], [90.0, 3, 120, 4], [-9.0, -9, -5, -5]])
    assert reg.inside(boxes, (20, 30)).tolist() == [[0, 0, 30, 20], [29, 3, 30, 4], [0, 0, 1, 1]]


def test_class_picks_its_own_offsets():
    predicted = torch.arange(16.0).view(2, 8)
    assert reg.of_class(predicted, torch.tensor([1, 0])).tolist() == [[4, 5, 6, 7], [8, 9, 10, 11]]
    assert reg.of_class(predicted[:, :4], torch.tensor([1, 0])).tolist() == predicted[:, :4].tolist()


def test_loss_counts_pairs_only():
    """Smooth L1: 0.5 d^2 below 1, d - 0.5 above."""
    predicted, targets = torch.tensor([[0.5, 2, 0, 0], [9.0, 9, 9, 9]]), torch.zeros(2, 4)
    found = reg.regression_losses(predicted, targets, torch.tensor([True, False]))
    assert found.tolist() == pytest.approx([0.125 + 1.5, 0.0])
