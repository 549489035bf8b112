"""Pairs and paths against counts by hand and a loop over pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.ops import affinity


@pytest.mark.parametrize(("radius", "pairs"), [(2, 4), (5, 34), (10, 152)])
def test_number_of_offsets(radius, pairs):
    assert len(affinity.offsets(radius)) == pairs


@pytest.mark.parametrize(("radius", "groups", "longest"), [(5, 9, 11), (10, 20, 22)])
def test_path_lengths(radius, groups, longest):
    lengths = {len(affinity.path(*offset)) for offset in affinity.offsets(radius)}
    assert (len(lengths), min(lengths), max(lengths)) == (groups, 2, longest)


def test_offsets_are_a_half_plane_without_the_cell_itself():
    offsets = set(affinity.offsets(6))
    assert (0, 0) not in offsets
    assert not offsets & {(-dy, -dx) for dy, dx in offsets}
    assert all(dy**2 + dx**2 < 36 for dy, dx in offsets)


def test_paths_by_hand():
    assert affinity.path(0, 2) == ((0, 0), (0, 1), (0, 2))
    assert affinity.path(1, 1) == ((0, 0), (0, 1), (1, 0), (1, 1))  # the corners are 0.71 away from the diagonal
    assert affinity.path(1, -2) == ((0, -2), (0, -1), (0, 0), (1, -2), (1, -1), (1, 0))  # the farthest is 0.89 away
    assert set(affinity.path(2, 2)) == {(y, x) for y in range(3) for x in range(3)} - {(0, 2), (2, 0)}


@given(st.integers(0, 6), st.integers(-6, 6))
@settings(deadline=None, max_examples=40)
def test_path_holds_its_ends_and_its_mirror_image(dy, dx):
    if (dy, dx) <= (0, 0):
        return
    cells = set(affinity.path(dy, dx))
    assert {(0, 0), (dy, dx)} <= cells
    assert cells == {(dy - y, dx - x) for y, x in cells}
    assert {(y, -x) for y, x in cells} == set(affinity.path(dy, -dx)) if dx else True


def by_hand(boundary, radius):
    H, W = boundary.shape
    r = radius - 1
    out = np.zeros((len(affinity.offsets(radius)), H - r, W - 2 * r))
    for p, offset in enumerate(affinity.offsets(radius)):
        for y in range(H - r):
            for x in range(r, W - r):
                out[p, y, x - r] = max(boundary[y + dy, x + dx] for dy, dx in affinity.path(*offset))
    return out


@pytest.mark.parametrize("radius", [2, 3, 5])
def test_path_maxima_against_a_loop(radius):
    boundary = torch.rand(2, 9, 12, generator=torch.Generator().manual_seed(radius))
    found = affinity.path_maxima(boundary, radius)
    for picture, maxima in zip(boundary, found, strict=True):
        np.testing.assert_array_equal(maxima, by_hand(picture.numpy(), radius).astype(np.float32))


def test_gradient_of_path_maxima():
    boundary = torch.rand(1, 5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda b: affinity.path_maxima(b, 3), boundary)


def test_gradient_of_equal_cells_goes_to_one_of_them():
    boundary = torch.full((1, 6, 9), 0.5, requires_grad=True)
    maxima = affinity.path_maxima(boundary, 4)
    maxima.sum().backward()
    assert boundary.grad.sum() == maxima.numel()


def test_affinity_is_one_without_and_zero_across_a_boundary():
    boundary = torch.zeros(1, 8, 12)
    assert (affinity.affinities(boundary, 3) == 1).all()
    boundary[:, :, 6] = 1
    labels = (torch.arange(12) > 6).expand(1, 8, 12)
    crosses = affinity.sources(labels, 3)[:, None] != affinity.destinations(labels, 3)
    assert (affinity.affinities(boundary, 3)[crosses] == 0).all()


def test_destinations_are_the_shifted_grid():
    grid = torch.arange(60).view(1, 6, 10)
    there, here = affinity.destinations(grid, 3), affinity.sources(grid, 3)
    for p, (dy, dx) in enumerate(affinity.offsets(3)):
        assert (there[:, p] - here == 10 * dy + dx).all()


def test_refusals():
    with pytest.raises(ValueError, match="radius: 1 leaves no pair"):
        affinity.offsets(1)
    with pytest.raises(ValueError, match="too wide for a grid of 4 x 8"):
        affinity.affinities(torch.zeros(1, 4, 8), 5)
