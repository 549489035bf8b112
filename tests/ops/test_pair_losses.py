"""IRNet's losses: relations and values worked by hand, gradients in float64."""

import math

import pytest
import torch

from weakseg.ops import affinity
from weakseg.ops.affinity import mean_over, relations
from weakseg.ops.pair_losses import (
    boundary_loss,
    displacement_loss,
    grid_labels,
    irn_loss,
)

RADIUS = 2  # offsets (0, 1), (1, -1), (1, 0), (1, 1); a 2 x 3 grid has the one source cell (0, 1)


def one_source(values):
    return torch.tensor(values).view(1, 2, 3)


def test_relations_by_hand():
    #         (0, 1) is the source; its neighbours are (0, 2), (1, 0), (1, 1), (1, 2)
    pairs = relations(one_source([[9, 1, 1], [0, 255, 2]]), RADIUS)
    assert pairs.foreground.flatten().tolist() == [True, False, False, False]
    assert pairs.background.flatten().tolist() == [False] * 4
    assert pairs.negative.flatten().tolist() == [False, True, False, True]
    pairs = relations(one_source([[9, 0, 0], [0, 255, 2]]), RADIUS)
    assert pairs.background.flatten().tolist() == [True, True, False, False]
    assert pairs.negative.flatten().tolist() == [False, False, False, True]


def test_an_ignored_source_has_no_relation():
    pairs = relations(one_source([[0, 255, 255], [255, 1, 2]]), RADIUS)
    assert not (pairs.foreground | pairs.background | pairs.negative).any()


def test_every_valid_pair_is_in_one_set():
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0, 1, 2, 255])[torch.randint(4, (2, 12, 14), generator=generator)]
    pairs = relations(labels, 4)
    valid = (affinity.sources(labels, 4)[:, None] != 255) & (affinity.destinations(labels, 4) != 255)
    total = pairs.foreground.int() + pairs.background.int() + pairs.negative.int()
    assert torch.equal(total, valid.int())


def test_displacement_loss_by_hand():
    labels = one_source([[9, 1, 1], [1, 255, 0]])  # foreground pairs with (0, 2) and (1, 0)
    field = torch.zeros(1, 2, 2, 3)
    field[0, :, 0, 1] = torch.tensor([0.5, 2.0])
    # delta = D(0, 1) - 0 = (0.5, 2); wanted (0, 1) and (1, -1): errors (0.5 + 1) / 2 and (0.5 + 3) / 2
    foreground, background = displacement_loss(field, relations(labels, RADIUS), RADIUS)
    assert foreground.item() == pytest.approx((0.75 + 1.75) / 2, rel=1e-4)
    assert background.item() == 0
    labels = one_source([[9, 0, 0], [255, 1, 255]])
    _, background = displacement_loss(field, relations(labels, RADIUS), RADIUS)
    assert background.item() == pytest.approx(1.25, rel=1e-4)


def test_the_loss_is_zero_when_cells_point_at_a_common_place():
    ys, xs = torch.meshgrid(torch.arange(10.0), torch.arange(12.0), indexing="ij")
    field = torch.stack([4 - ys, 7 - xs])[None]
    labels = torch.ones(1, 10, 12, dtype=torch.long)
    foreground, _ = displacement_loss(field, relations(labels, 4), 4)
    assert foreground.item() == pytest.approx(0, abs=1e-6)
    foreground, _ = displacement_loss(field + 3, relations(labels, 4), 4)
    assert foreground.item() == pytest.approx(0, abs=1e-6)  # a constant shift is free: hence the mean shift


def test_boundary_loss_by_hand():
    labels = one_source([[9, 1, 1], [0, 255, 2]])  # positive: (0, 2); negative: (1, 0), (1, 2)
    boundary = torch.tensor([[0.0, 0.1, 0.3], [0.6, 0.2, 0.25]]).view(1, 2, 3)
    # paths: to (0, 2) its ends: 0.3; to (1, 0) the square (0, 0), (0, 1), (1, 0), (1, 1): 0.6; to (1, 2): 0.3
    positive, negative = boundary_loss(boundary, relations(labels, RADIUS), RADIUS)
    assert positive.item() == pytest.approx(-math.log(0.7) / 2, rel=1e-3)
    assert negative.item() == pytest.approx((-math.log(0.6) - math.log(0.3)) / 2, rel=1e-3)


def test_means_are_over_the_batch():
    values = torch.tensor([[1.0, 2.0], [6.0, 9.0]])
    assert mean_over(values, torch.tensor([[True, True], [True, False]])).item() == pytest.approx(3, rel=1e-5)
    assert mean_over(values, torch.zeros(2, 2, dtype=torch.bool)).item() == 0


def example(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0, 1, 2, 255])[torch.randint(4, (2, 6, 9), generator=generator)]
    logits = torch.randn(2, 6, 9, dtype=dtype, generator=generator)
    return logits, torch.randn(2, 2, 6, 9, dtype=dtype, generator=generator), labels


def test_sum_weights_and_half():
    logits, field, labels = example()
    whole = irn_loss(logits, field, labels, 3)
    terms = [whole[k] for k in whole if k != "loss"]
    torch.testing.assert_close(whole["loss"], sum(terms))
    torch.testing.assert_close(irn_loss(logits, field, labels, 3, halved=True)["loss"], sum(terms) / 2)
    boundary_only = irn_loss(logits, field, labels, 3, displacement_weight=0.0)["loss"]
    torch.testing.assert_close(boundary_only, whole["boundary_positive"] + whole["boundary_negative"])


def test_gradients():
    logits, field, labels = example(torch.float64)
    logits.requires_grad_(), field.requires_grad_()
    assert torch.autograd.gradcheck(lambda z, d: irn_loss(z, d, labels, 3)["loss"], (logits, field))


def test_nothing_confident_costs_nothing():
    logits, field, _ = example()
    assert irn_loss(logits, field, torch.full((2, 6, 9), 255), 3)["loss"].item() == 0


def test_grid_labels_are_taken_from_the_middle_of_the_cells():
    labels = torch.arange(64).view(1, 8, 8)
    assert grid_labels(labels).tolist() == [[[18, 22], [50, 54]]]
