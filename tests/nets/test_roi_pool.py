"""RoIAlign: torchvision's numbers and gradients without its slow way back; on a GPU its kernel, whatever the mode."""

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.nets.roi_pool import MultiScaleRoIAlign, roi_align


def some_boxes(generator: torch.Generator, count: int, reach: float) -> torch.Tensor:
    """(count, 4): some of them partly or wholly outside 0..reach, some thinner than a cell."""
    centre = torch.rand(count, 2, generator=generator) * 1.4 * reach - 0.2 * reach
    half = torch.rand(count, 2, generator=generator) ** 2 * 0.5 * reach
    return torch.cat([centre - half, centre + half], 1)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), size=st.sampled_from([1, 3, 7]), samples=st.integers(1, 3), aligned=st.booleans())
def test_torchvision_s_numbers_and_gradients(seed, size, samples, aligned):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(3, 5, 9, 12, generator=generator, dtype=torch.float64)
    picture = torch.randint(0, 3, (8, 1), generator=generator)
    rois = torch.cat([picture, some_boxes(generator, 8, 48)], 1).double()
    ours, theirs = maps.clone().requires_grad_(), maps.clone().requires_grad_()
    a = roi_align(ours, rois, size, 0.25, samples, aligned)
    b = torchvision.ops.roi_align(theirs, rois, size, 0.25, samples, aligned)
    torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)
    weight = torch.randn(a.shape, generator=generator, dtype=torch.float64)
    (a * weight).sum().backward(), (b * weight).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=1e-9)


def test_by_hand():
    # Two bins of 1 cell with one point each, at 1.5 and 2.5: half way between cells 1, 2 and 2, 3.
    maps = torch.arange(16.0).reshape(1, 1, 4, 4)
    found = roi_align(maps, torch.tensor([[0.0, 1, 1, 3, 3]]), 2, 1.0, 1)
    assert found[0, 0].tolist() == [[7.5, 8.5], [11.5, 12.5]]


@pytest.mark.parametrize("counts", [(4, 0, 9), (0, 0, 0), (0, 0, 1)])
def test_every_box_is_read_from_torchvision_s_level(counts):
    generator = torch.Generator().manual_seed(0)
    levels = {str(k): torch.randn(3, 6, side, side, generator=generator) for k, side in enumerate((32, 16, 8))}
    boxes = [some_boxes(generator, count, 128).clamp(0, 128) for count in counts]
    ours = MultiScaleRoIAlign((4, 8, 16), 7, 2, 56)(levels, boxes, [(128, 128)] * 3)
    theirs = torchvision.ops.MultiScaleRoIAlign(["0", "1", "2"], 7, 2, canonical_scale=56)
    torch.testing.assert_close(ours, theirs(levels, boxes, [(128, 128)] * 3), rtol=1e-4, atol=1e-5)


def test_maps_of_half_precision_are_pooled_in_full():
    maps, rois = torch.randn(1, 4, 8, 8).bfloat16(), torch.tensor([[0.0, 1, 1, 6, 5]])
    found = roi_align(maps, rois, 2, 1.0, 2)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, roi_align(maps.float(), rois, 2, 1.0, 2).bfloat16(), rtol=0, atol=0)


def test_an_error_in_the_kernel_leaves_the_mode(monkeypatch):
    """On a GPU torchvision's kernel is asked, although torch is to repeat itself."""

    class OnCard:
        is_cuda = True

    def asked(*given):
        assert not torch.are_deterministic_algorithms_enabled()
        raise ValueError("no regions")

    monkeypatch.setattr(torchvision.ops, "roi_align", asked)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with pytest.raises(ValueError, match="no regions"):
            roi_align(OnCard(), torch.zeros(1, 5), 2, 1.0, 2)
        assert torch.are_deterministic_algorithms_enabled() and torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
