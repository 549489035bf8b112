"""Bags: a box drawn by hand, brute force over lines and neighbours, gradients, and the price of the loss."""

import math
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.ops.bags import filled_boxes, line_maxima, mil_loss, neighbour_loss

LOGIT = math.log(3)  # sigmoid 0.75; its negative 0.25


def test_bags_of_a_box_drawn_by_hand():
    inside = filled_boxes(torch.tensor([[1, 0, 3, 2], [0, 2, 4, 3]]), 3, 4)
    assert inside[0].int().tolist() == [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert line_maxima(inside).int().tolist() == [[1, 1, 0, 0, 1, 1, 0], [0, 0, 1, 1, 1, 1, 1]]


def test_a_line_of_a_mask_without_any_pixel_is_negative_even_inside_its_box():
    ring = torch.tensor([[[1, 0, 1], [0, 0, 0], [1, 0, 1]]]).bool()
    assert line_maxima(ring).int().tolist() == [[1, 0, 1, 1, 0, 1]]


def test_mil_loss_by_hand():
    """Rows: 0.75 in the box, 0.25 outside; columns: 0.75 in, 0.25 out. Four bags, each -log 0.75."""
    logits = torch.tensor([[[LOGIT, -LOGIT], [-LOGIT, -LOGIT]]])
    inside = filled_boxes(torch.tensor([[0, 0, 1, 1]]), 2, 2)
    assert mil_loss(logits, inside).item() == pytest.approx(-math.log(0.75), rel=1e-5)
    assert mil_loss(logits, inside, "sum").item() == pytest.approx(-4 * math.log(0.75), rel=1e-5)
    assert mil_loss(logits.repeat(3, 1, 1), inside.repeat(3, 1, 1), "sum").item() == pytest.approx(
        -4 * math.log(0.75), rel=1e-5
    )


def test_outside_the_box_a_positive_line_stays_positive():
    """The maximum of the box's row lies outside the box: the row is content with it, its column is not."""
    logits = torch.full((1, 3, 3), -4.0, requires_grad=True)
    with torch.no_grad():
        logits[0, 0, 2] = 4.0
    rows, columns = line_maxima(logits).split(3, 1)
    assert rows[0, 0] == 4 and columns[0, 2] == 4
    mil_loss(logits, filled_boxes(torch.tensor([[0, 0, 1, 1]]), 3, 3)).backward()
    assert logits.grad[0, 0, 2] > 0  # the negative column pushes it down harder than the satisfied row pulls it up


def brute(logits: np.ndarray, inside: np.ndarray) -> tuple[float, float]:
    """(MIL, neighbours) as sums over lines and over pixels, one by one."""
    H, W = logits.shape
    chance = 1 / (1 + np.exp(-logits))
    lines = [(chance[y], inside[y]) for y in range(H)] + [(chance[:, x], inside[:, x]) for x in range(W)]
    mil = sum(-math.log(line.max()) if label.any() else -math.log(1 - line.max()) for line, label in lines)
    padded = np.pad(chance, 1)
    near = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
    smooth = sum(((chance - padded[1 + y : 1 + y + H, 1 + x : 1 + x + W]) ** 2).sum() for y, x in near)
    return mil, smooth


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_against_brute_force(height, width, seed):
    rng = np.random.default_rng(seed)
    logits, inside = rng.normal(size=(2, height, width)), rng.random((2, height, width)) < 0.3
    mil, smooth = np.mean([brute(*pair) for pair in zip(logits, inside, strict=True)], 0)
    given_, marked = torch.from_numpy(logits), torch.from_numpy(inside)
    assert mil_loss(given_, marked, "sum").item() == pytest.approx(mil)
    assert mil_loss(given_, marked).item() == pytest.approx(mil / (height + width))
    assert neighbour_loss(given_, "sum").item() == pytest.approx(smooth)
    assert neighbour_loss(given_).item() == pytest.approx(smooth / (8 * height * width))


def test_gradients():
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 5, dtype=torch.float64, requires_grad=True)
    inside = filled_boxes(torch.tensor([[1, 1, 3, 4], [0, 0, 5, 4]]), 4, 5)
    for reduction in ("mean", "sum"):
        assert torch.autograd.gradcheck(lambda x, r=reduction: mil_loss(x, inside, r), logits)
        assert torch.autograd.gradcheck(lambda x, r=reduction: neighbour_loss(x, r), logits)


def test_a_box_that_fills_the_picture_leaves_no_negative_bag():
    inside = filled_boxes(torch.tensor([[0, 0, 5, 4]]), 4, 5)
    assert line_maxima(inside).all()
    bright = torch.full((1, 4, 5), 9.0)
    assert mil_loss(bright, inside) < 1e-3 < mil_loss(-bright, inside)


def seconds(*losses) -> list[float]:
    """The least processor time of each, forward and backward, measured in turns: other processes disturb all alike."""
    runs = []
    for _ in range(12):
        for loss in losses:
            began = time.process_time()
            loss().backward()
            runs.append(time.process_time() - began)
    return [min(runs[k :: len(losses)]) for k in range(len(losses))]


def test_bags_cost_at_most_twice_the_plain_pixel_loss():
    logits = torch.randn(16, 288, 288, requires_grad=True)
    target = (torch.rand(16, 288, 288) > 0.5).float()
    boxes = torch.tensor([[40, 50, 200, 240]]).repeat(16, 1)
    plain, bags = seconds(
        lambda: F.binary_cross_entropy_with_logits(logits, target),
        lambda: mil_loss(logits, filled_boxes(boxes, 288, 288)),
    )
    assert bags < 2 * plain, f"{bags:.4f} s against {plain:.4f} s"
