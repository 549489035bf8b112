"""Pooling of regions: torchvision's results, by its kernel also where torch is asked to repeat itself."""

import pytest
import torch
import torchvision

from weakseg.nets.roi_pool import MultiScaleRoIAlign, roi_align


@pytest.fixture
def strict():
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


def test_a_constant_map_pools_to_its_value_and_the_mode_stays(strict):
    rois = torch.tensor([[0.0, 2.0, 2.0, 10.0, 12.0]])
    assert roi_align(torch.full((1, 3, 16, 16), 7.0), rois, 2, 1.0, 2, aligned=True).eq(7).all()
    pool = MultiScaleRoIAlign(["0"], 7, 2)
    assert pool({"0": torch.full((1, 2, 16, 16), 5.0)}, [rois[:, 1:]], [(64, 64)]).eq(5).all()
    assert torch.are_deterministic_algorithms_enabled() and torch.is_deterministic_algorithms_warn_only_enabled()


def test_the_kernel_is_asked_and_an_error_leaves_the_mode(strict, monkeypatch):
    def asked(*given, **how):
        assert not torch.are_deterministic_algorithms_enabled()
        raise ValueError("no regions")

    monkeypatch.setattr(torchvision.ops, "roi_align", asked)
    with pytest.raises(ValueError, match="no regions"):
        roi_align()
    assert torch.are_deterministic_algorithms_enabled()
