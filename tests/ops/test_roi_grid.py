"""RoI pooling over a dense grid, against torchvision's own over the same windows."""

import pytest
import torch
from torchvision.ops import roi_pool

from weakseg.ops.roi_grid import RoiGrid, windows


def test_windows_of_a_small_map():
    assert windows(1, 2).tolist() == [[-1, -1, 1, 1], [0, -1, 2, 1]]


@pytest.mark.parametrize("size", [1, 3, 5])
def test_the_same_numbers_as_roi_pool(size):
    features = torch.randn(2, 4, 6, 7, generator=torch.Generator().manual_seed(0))
    B, D, H, W = features.shape
    pooled = roi_pool(features, [windows(H, W, size)] * B, output_size=1)
    expected = pooled.view(B, H, W, D).permute(0, 3, 1, 2)  # (B, D, H, W)
    torch.testing.assert_close(RoiGrid(size)(features), expected)


def test_a_window_without_middle_is_refused():
    with pytest.raises(ValueError, match="odd"):
        RoiGrid(2)
