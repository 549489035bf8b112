"""Counting centroids: right on fields whose count is known, deaf outside the region, and pulling the right way."""

import numpy as np
import pytest
import torch

from weakseg.ops import counts
from weakseg.ops.displacement import end_points

SIDE, WEAK = 48, 0.8


def discs(centres, radius=5.0, side=SIDE):
    """Fields (1, 2, side, side) whose cells point to the nearest of the centres, and the union of discs around them."""
    y, x = torch.meshgrid(torch.arange(float(side)), torch.arange(float(side)), indexing="ij")
    apart = torch.tensor(centres, dtype=torch.float32)[:, :, None, None] - torch.stack([y, x])  # (n, 2, h, w)
    distance = apart.square().sum(1).sqrt()
    nearest = distance.argmin(0)
    field = apart.gather(0, nearest.expand(1, 2, -1, -1))
    return field, (distance.amin(0) <= radius)[None]


PLACES = [(8, 8), (8, 38), (38, 8), (38, 38), (23, 23), (8, 23)]


@pytest.mark.parametrize("n", range(1, 7))
@pytest.mark.parametrize("noise", [0.0, 0.25])
def test_the_soft_count_of_n_separate_fields_is_n(n, noise):
    field, region = discs(PLACES[:n])
    field = field + noise * torch.randn(field.shape, generator=torch.Generator().manual_seed(0))
    count = counts.soft_count(counts.salient_votes(field, region, 1024), 2.0)
    assert count.item() == pytest.approx(n, rel=0.05)


@pytest.mark.parametrize("n", range(1, 7))
def test_the_hard_count_of_n_separate_fields_is_n(n):
    field, region = discs(PLACES[:n])
    numbers, count = counts.hard_groups(field, region, WEAK, 0.05, 60)
    assert count.item() == n
    assert (numbers > 0).eq(region).all() and [int((numbers == k).sum()) for k in range(1, n + 1)] == [81] * n


def test_the_size_of_an_instance_does_not_count():
    field, region = discs([(12, 12), (36, 36)], radius=4.0)
    large, wide = discs([(12, 12), (36, 36)], radius=10.0)
    region[0, 24:, 24:] = wide[0, 24:, 24:]
    assert counts.soft_count(counts.salient_votes(field, region, 2048), 2.0).item() == pytest.approx(2, rel=0.05)


def test_a_sample_of_the_cells_counts_as_all_do():
    field, region = discs(PLACES[:4], radius=8.0)
    assert counts.soft_count(counts.salient_votes(field, region, 100), 2.0).item() == pytest.approx(4, rel=0.05)


def test_the_soft_count_is_the_sum_over_pairs():
    torch.manual_seed(0)
    field, region = torch.randn(1, 2, 4, 5), torch.rand(1, 4, 5) > 0.4
    places = [(y, x) for y in range(4) for x in range(5) if region[0, y, x]]
    votes = [np.array([y, x]) + field[0, :, y, x].numpy() for y, x in places]
    kernel = np.array([[(1 + ((a - b) ** 2).sum() / (6 * 1.5**2)) ** -3 for b in votes] for a in votes])
    found = counts.soft_count(counts.salient_votes(field, region, 64), 1.5)
    assert found.item() == pytest.approx((1 / kernel.sum(1)).sum(), rel=1e-5)


def losses():
    return {
        "soft": lambda field, region, t: counts.soft_count_loss(field, region, t, 2.0, 256),
        "straight": lambda field, region, t: counts.straight_through_loss(field, region, t, WEAK),
        "kmeans": lambda field, region, t: counts.kmeans_loss(field, region, t, most=256),
    }


@pytest.mark.parametrize("name", ["soft", "straight", "kmeans"])
@pytest.mark.parametrize("wanted", [1, 3])
def test_gradients_reach_only_offsets_inside_the_region(name, wanted):
    field, region = discs([(12, 12), (36, 30)])
    field = (field + 0.3 * torch.randn(field.shape, generator=torch.Generator().manual_seed(1))).requires_grad_()
    losses()[name](field, region, torch.tensor([wanted])).backward()
    outside = field.grad.abs().sum(1)[~region]
    assert outside.max() == 0 and field.grad.abs().sum(1)[region].max() > 0


def descend(loss, field, region, wanted, steps, rate):
    field = field.clone().requires_grad_()
    for _ in range(steps):
        (gradient,) = torch.autograd.grad(loss(field, region, torch.tensor([wanted])), field)
        field = (field - rate * gradient / gradient.abs().max().clamp(min=1e-12)).detach().requires_grad_()
    return field.detach()


TOO_MANY = ([(20, 16), (20, 26)], 1)  # two centroids in two discs that touch, one instance is wanted
TOO_FEW = ([(20, 16), (20, 26)], 2)  # two discs that all point to one spot between them


def wrong_field(case):
    centres, wanted = case
    field, region = discs(centres)
    if case is TOO_FEW:
        field, _ = discs([(20, 21)])
        field = field + 0.2 * torch.randn(field.shape, generator=torch.Generator().manual_seed(2))
    return field, region, wanted


@pytest.mark.parametrize("case", [TOO_MANY, TOO_FEW], ids=["too many", "too few"])
@pytest.mark.parametrize("name", ["soft", "straight", "kmeans"])
def test_a_wrong_count_moves_the_right_way(name, case):
    field, region, wanted = wrong_field(case)
    measure = lambda f: counts.soft_count(counts.salient_votes(f, region, 256), 2.0).item()  # noqa: E731
    before = measure(field)
    after = measure(descend(losses()[name], field, region, wanted, 20, 0.2))
    assert abs(after - wanted) < abs(before - wanted) - 0.1


@pytest.mark.parametrize("name", ["soft", "straight", "kmeans"])
def test_a_right_field_is_left_alone(name):
    field, region = discs([(12, 12), (36, 30)])
    loss = losses()[name](field, region, torch.tensor([2]))
    assert loss.item() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("name", ["soft", "straight", "kmeans"])
def test_what_cannot_be_counted_takes_no_part(name):
    field, region = discs([(12, 12)])
    field = (field + 0.5).requires_grad_()
    nothing = losses()[name](field, region, torch.tensor([0]))  # a count of zero
    empty = losses()[name](field, torch.zeros_like(region), torch.tensor([2]))  # no salient region
    assert nothing.item() == 0 and empty.item() == 0
    (nothing + empty).backward()
    assert field.grad is None or field.grad.abs().max() == 0


@pytest.mark.parametrize("name", ["soft", "straight", "kmeans"])
def test_a_picture_that_takes_no_part_does_not_thin_the_mean(name):
    field, region = discs([(12, 12), (36, 30)])
    alone = losses()[name](field, region, torch.tensor([1]))
    both = losses()[name](field.expand(2, -1, -1, -1), region.expand(2, -1, -1), torch.tensor([1, 0]))
    assert both.item() == pytest.approx(alone.item(), rel=1e-4)


@pytest.mark.parametrize("name", ["soft", "straight", "kmeans"])
def test_a_count_above_the_number_of_salient_cells_is_that_number(name):
    field = torch.zeros(1, 2, 8, 8)
    region = torch.zeros(1, 8, 8, dtype=torch.bool)
    region[0, 2, 2] = region[0, 6, 6] = True
    many, two = (losses()[name](field, region, torch.tensor([t])).item() for t in (50, 2))
    assert many == two and np.isfinite(many)


def test_a_negative_count_is_refused():
    with pytest.raises(ValueError, match="counts: -1 is no number of instances"):
        counts.usable(torch.tensor([2, -1]), torch.tensor([5, 5]))


def test_kmeans_finds_groups_with_a_k_of_their_own():
    points = torch.tensor([[[0.0], [1.0], [10.0], [11.0]], [[0.0], [1.0], [10.0], [11.0]]])
    groups = counts.group(points, torch.ones(2, 4), torch.tensor([2, 1]))
    assert groups[0, 0] == groups[0, 1] != groups[0, 2] == groups[0, 3]
    assert groups[1].tolist() == [0, 0, 0, 0]


def test_unweighted_points_move_no_centre():
    points = torch.tensor([[[0.0], [1.0], [100.0]]])
    means, size = counts.group_means(points, torch.tensor([[1.0, 1.0, 0.0]]), torch.zeros(1, 3, dtype=torch.long), 2)
    assert means.tolist() == [[[0.5], [0.0]]] and size.tolist() == [[2.0, 0.0]]


def numbers_of(field, region, weak=WEAK, share=0.0):
    return counts.salient_instances(field[0].numpy(), end_points(field)[0].numpy(), region, weak, share)


def test_centroids_outside_the_region_are_not_counted():
    field, _ = discs([(12, 12), (36, 36)])
    region = np.zeros((SIDE, SIDE), bool)
    region[8:17, 8:17] = True
    assert numbers_of(field, region).max() == 1


def test_a_centroid_that_few_cells_reach_is_none():
    field, region = discs([(12, 12), (36, 36)], radius=6.0)
    region[0, 24:] = False
    region[0, 36, 36] = True
    region = region[0].numpy()
    assert numbers_of(field, region).max() == 2
    joined = numbers_of(field, region, share=0.05)
    assert joined.max() == 1 and joined[36, 36] == 1  # its cell goes to the nearest centroid that is left


def test_regions_without_centroids_and_no_region():
    field = torch.full((1, 2, 8, 8), 5.0)
    region = np.zeros((8, 8), bool)
    assert numbers_of(field, region).max() == 0
    region[2:4, 2:4] = True
    assert numbers_of(field, region).tolist() == region.astype(int).tolist()


def pair(apart):
    """One row of two salient cells whose votes lie `apart` cells from each other: field (1, 2, 1, 9) and region."""
    field = torch.zeros(1, 2, 1, 9, dtype=torch.float64)
    field[0, 1, 0, 8] = apart - 8.0
    region = torch.zeros(1, 1, 9, dtype=torch.bool)
    region[0, 0, [0, 8]] = True
    return field, region


@pytest.mark.parametrize("apart", [0.0, 1.0, 3.0])
def test_two_votes_by_hand(apart):
    near = (1 + apart**2 / (6 * 2.0**2)) ** -3
    count = counts.soft_count(counts.salient_votes(*pair(apart), 9), 2.0)
    assert count.item() == pytest.approx(2 / (1 + near))
    loss = counts.soft_count_loss(*pair(apart), torch.tensor([2]), 2.0)
    assert loss.item() == pytest.approx((2 / (1 + near) - 2) ** 2)


def test_kmeans_by_hand():
    """One instance of cells 0 and 8: its centroid is cell 4; votes at 0 and 3 are 4 and 1 away, in one of two axes."""
    assert counts.kmeans_loss(*pair(3.0), torch.tensor([1])).item() == pytest.approx((4 / 2 + 1 / 2) / 2)
    assert counts.kmeans_loss(*pair(8.0), torch.tensor([2])).item() == pytest.approx(0)


def test_the_straight_through_value_is_the_squared_error_of_the_hard_count():
    field, region = discs([(12, 12), (36, 30)])
    for wanted in (1, 2, 5):
        loss = counts.straight_through_loss(field, region, torch.tensor([wanted]), WEAK)
        assert loss.item() == (2 - wanted) ** 2


def test_gradients_are_those_of_the_functions():
    generator = torch.Generator().manual_seed(3)
    field = torch.randn(2, 2, 3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    region = torch.rand(2, 3, 4, generator=generator) > 0.3
    wanted = torch.tensor([1, 3])
    assert torch.autograd.gradcheck(lambda f: counts.soft_count_loss(f, region, wanted, 1.5), field)
    assert torch.autograd.gradcheck(lambda f: counts.kmeans_loss(f, region, wanted), field)
