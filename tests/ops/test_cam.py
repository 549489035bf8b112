"""Attention at several scales."""

import numpy as np
import pytest
import torch

from weakseg.ops.cam import CamParams, grid_size, label_map, merge, multi_scale, normalise


class Brightness:
    """Attention = mean colour minus a half, at stride 4; so the right answer is known."""

    def cam(self, pictures):
        return torch.nn.functional.avg_pool2d(pictures.mean(1, keepdim=True), 4) - 0.5


def test_scales_and_mirror_images():
    pictures = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    once = multi_scale(Brightness(), pictures, CamParams(scales=(1.0,), flip=False))
    both = multi_scale(Brightness(), pictures, CamParams(scales=(1.0, 0.5, 2.0)))
    assert [m.shape[-2:] for m in both] == [(4, 6), (2, 3), (8, 12)]
    torch.testing.assert_close(both[0], 2 * once[0])  # the mirrored answer, mirrored back, is the same
    torch.testing.assert_close(once[0], torch.relu(Brightness().cam(pictures)))


def test_merge_sizes_and_maximum():
    rng = np.random.default_rng(0)
    cams = merge([rng.random((2, 5, 7), np.float32), rng.random((2, 10, 14), np.float32)], np.array([3, 5]), (37, 53))
    assert cams.low.shape == (2, *grid_size((37, 53))) == (2, 10, 14)
    assert cams.high.shape == (2, 37, 53)
    np.testing.assert_allclose(cams.low.max((1, 2)), 1, atol=1e-4)
    np.testing.assert_allclose(cams.high.max((1, 2)), 1, atol=1e-4)


def test_a_picture_without_tags():
    cams = merge([np.zeros((0, 4, 4), np.float32)], np.zeros(0, int), (16, 16))
    assert cams.low.shape == (0, 4, 4) and cams.high.shape == (0, 16, 16)
    assert (label_map(cams.high, 0.3) == 0).all()


def test_an_empty_map_stays_empty():
    assert (normalise(np.zeros((1, 3, 3), np.float32)) == 0).all()


@pytest.mark.parametrize(("side", "cells"), [(1, 1), (4, 1), (5, 2), (500, 125), (375, 94)])
def test_grid(side, cells):
    assert grid_size((side, side)) == (cells, cells)


def test_label_map_by_hand():
    scores = np.array([[[0.1, 0.4, 0.6]], [[0.2, 0.5, 0.5]]])
    assert label_map(scores, 0.3).tolist() == [[0, 2, 1]]
