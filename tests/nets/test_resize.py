"""Resizing: torch's numbers, and gradients by matrix products that equal those of torch's kernel."""

import pytest
import torch
import torch.nn.functional as F

from weakseg.nets.resize import bilinear, shares, shrunk

SIZES = [((5, 7), (20, 28)), ((8, 6), (4, 3)), ((7, 9), (10, 13)), ((4, 4), (4, 4)), ((1, 1), (6, 5)), ((9, 5), (4, 7))]


def test_each_new_cell_is_a_weighted_mean_of_old_ones():
    assert shares(2, 4, torch.device("cpu"), torch.float32).tolist() == [[1, 0.75, 0.25, 0], [0, 0.25, 0.75, 1]]


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_as_torch_resizes(before, after):
    maps = torch.randn(2, 3, *before, generator=torch.Generator().manual_seed(0))
    assert torch.equal(bilinear(maps, after), F.interpolate(maps, after, mode="bilinear", align_corners=False))


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_the_gradient_is_that_of_torch(before, after):
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 3, *before, generator=generator, dtype=torch.float64, requires_grad=True)
    gradient = torch.randn(2, 3, *after, generator=generator, dtype=torch.float64)
    bilinear(maps, after).backward(gradient)
    torch.testing.assert_close(shrunk(gradient, before), maps.grad, rtol=1e-6, atol=1e-6)
