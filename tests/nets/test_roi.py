"""RoIAlign by matrix products gives what torchvision's kernel gives, gradients included."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import MultiScaleRoIAlign, roi_align

from weakseg.nets.roi import PyramidRoiAlign, bin_weights, separable_roi_align


def random_boxes(generator: torch.Generator, count: int, reach: float) -> torch.Tensor:
    """(count, 4) boxes, some of them partly or wholly outside 0..reach, some thinner than a cell."""
    centre = torch.rand(count, 2, generator=generator) * 1.4 * reach - 0.2 * reach
    half = torch.rand(count, 2, generator=generator) ** 2 * 0.5 * reach
    return torch.cat([centre - half, centre + half], 1)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), size=st.sampled_from([1, 3, 7, 14]), samples=st.integers(1, 3))
def test_equals_torchvision_kernel(seed, size, samples):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(3, 5, 9, 12, generator=generator, dtype=torch.float64)
    picture = torch.randint(0, 3, (8,), generator=generator).sort().values
    rois = torch.cat([picture[:, None], random_boxes(generator, 8, 48)], 1).double()
    ours, theirs = maps.clone().requires_grad_(), maps.clone().requires_grad_()
    a = separable_roi_align(ours, rois, (size, size), 0.25, samples)
    b = roi_align(theirs, rois, (size, size), 0.25, samples)
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    weight = torch.randn(a.shape, generator=generator, dtype=torch.float64)
    (a * weight).sum().backward(), (b * weight).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-5)


def test_bin_weights_by_hand():
    # 1 .. 3 cells in two bins of one point each: points 1.5 and 2.5 lie half way between cells 1, 2 and 2, 3.
    weights = bin_weights(torch.tensor([1.0]), torch.tensor([3.0]), 2, 4, 1)
    assert weights.tolist() == [[[0, 0.5, 0.5, 0], [0, 0, 0.5, 0.5]]]


@pytest.mark.parametrize("counts", [(4, 0, 9), (0, 0, 0), (0, 0, 1)])
def test_pyramid_equals_torchvision(counts):
    generator = torch.Generator().manual_seed(0)
    levels = {str(k): torch.randn(3, 6, side, side, generator=generator) for k, side in enumerate((32, 16, 8))}
    boxes = [random_boxes(generator, count, 128).clamp(0, 128) for count in counts]
    shapes = [(128, 128)] * 3
    ours = PyramidRoiAlign((4, 8, 16), 7, 2, 56)
    theirs = MultiScaleRoIAlign(["0", "1", "2"], 7, 2, canonical_scale=56)
    if sum(counts):
        assert len(ours.level_of(torch.cat(boxes)).unique()) > 1 or sum(counts) == 1
    torch.testing.assert_close(ours(levels, boxes, shapes), theirs(levels, boxes, shapes), rtol=1e-4, atol=1e-5)
