"""Boundary enhancement: its grid, its edges, its size."""

import pytest
import torch
from pydantic import ValidationError

from weakseg.nets.boundary_enhancement import BoundaryEnhancement, EnhancementParams, canny_edges
from weakseg.ops.cam import grid_size


@pytest.mark.parametrize("size", [(64, 64), (61, 47), (33, 96), (17, 1)])
def test_any_size_lands_on_the_grid_of_stride_4(size):
    module = BoundaryEnhancement(EnhancementParams(lines=2, width=8)).eval()
    assert module(torch.rand(2, 3, *size)).shape == (2, 8, *grid_size(size))


def test_parameters_are_those_counted_by_hand():
    lines, width = 4, 16
    directed = 2 * (3 * 7 * lines + lines)
    norm = 2 * width
    first = 9 * 2 * lines * width + 9 * width * width + 2 * lines * width + 3 * norm  # with a 1x1 shortcut
    second = 2 * 9 * width * width + width * width + 3 * norm
    third = 2 * 9 * width * width + 2 * norm
    merge = (width + 1) * width + width
    module = BoundaryEnhancement(EnhancementParams(lines=lines, width=width))
    assert sum(p.numel() for p in module.parameters()) == directed + first + second + third + merge


def test_edges_of_a_bright_square_lie_on_its_border():
    picture = torch.zeros(1, 3, 24, 24)
    picture[..., 8:16, 8:16] = 1
    edges = canny_edges(picture, 100, 200)
    assert edges.shape == (1, 1, 24, 24) and set(edges.unique().tolist()) == {0.0, 1.0}
    ring = torch.zeros(24, 24, dtype=torch.bool)
    ring[7:17, 7:17] = True
    ring[9:15, 9:15] = False
    assert not edges[0, 0][~ring].any() and edges[0, 0].sum() >= 24
    assert not canny_edges(torch.full((1, 3, 8, 8), 0.5), 100, 200).any()


def test_edges_enter_the_result_where_they_are():
    module = BoundaryEnhancement(EnhancementParams(lines=2, width=8)).eval()
    with torch.no_grad():
        module.merge.weight.zero_()
        module.merge.bias.zero_()
        module.merge.weight[:, -1] = 1
    picture = torch.zeros(1, 3, 33, 33)
    picture[..., :, 16:] = 1
    columns = module(picture)[0, 0].any(0).nonzero().flatten().tolist()
    assert columns in ([3], [3, 4], [4])  # the edge at pixel 15 or 16


def test_gradients_are_those_of_the_function():
    torch.manual_seed(0)
    module = BoundaryEnhancement(EnhancementParams(lines=1, width=8)).double().eval()
    picture = (torch.randint(0, 256, (1, 3, 9, 5)) / 255).double().requires_grad_()
    assert torch.autograd.gradcheck(module, picture, eps=1e-7, atol=1e-4)


def test_thresholds_in_the_wrong_order_are_refused():
    with pytest.raises(ValidationError, match="low: 200.0 is above high 100.0"):
        EnhancementParams(low=200.0, high=100.0)
