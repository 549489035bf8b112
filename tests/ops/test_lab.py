"""LAB against scikit-image and a few colours known by heart."""

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from weakseg.ops.lab import lab


def test_against_scikit_image():
    pictures = np.random.default_rng(0).random((2, 9, 7, 3))
    found = lab(torch.from_numpy(pictures.transpose(0, 3, 1, 2)))
    np.testing.assert_allclose(found.numpy().transpose(0, 2, 3, 1), rgb2lab(pictures), atol=0.02)


@pytest.mark.parametrize(
    "rgb, wanted", [((0, 0, 0), (0, 0, 0)), ((1, 1, 1), (100, 0, 0)), ((1, 0, 0), (53.2, 80.1, 67.2))]
)
def test_colours_by_heart(rgb, wanted):
    found = lab(torch.tensor(rgb, dtype=torch.float32).view(1, 3, 1, 1)).flatten().tolist()
    assert found == pytest.approx(wanted, abs=0.05)


def test_black_has_a_gradient():
    picture = torch.zeros(1, 3, 1, 1, requires_grad=True)
    lab(picture).sum().backward()
    assert picture.grad.isfinite().all()
