"""CountSeg: which peaks a count picks, what counts teach the density, by hand."""

import math

import pytest
import torch

from weakseg.baselines import countseg
from weakseg.baselines.prm import PrmParams, RetrievalParams


def peaky() -> torch.Tensor:
    """One class, 9 x 9 cells, peaks 3, 2 and 1 far apart on zeros that fall from the corner (so no plateau peaks)."""
    maps = -0.01 * torch.arange(81.0).view(1, 1, 9, 9)
    for height, (y, x) in ((3.0, (1, 1)), (2.0, (1, 7)), (1.0, (7, 4))):
        maps[0, 0, y, x] = height
    return maps


@pytest.mark.parametrize(
    "count, places", [(0, []), (1, [(1, 1)]), (2, [(1, 1), (1, 7)]), (3, [(1, 1), (1, 7), (7, 4)])]
)
def test_the_strongest_peaks_are_picked(count, places):
    found = countseg.strongest(peaky(), torch.tensor([[count]]))
    assert [tuple(place) for place in found[0, 0].nonzero().tolist()] == places


def test_fewer_peaks_than_counted():
    assert 3 <= countseg.strongest(peaky(), torch.tensor([[50]])).sum() < 50


def test_density_losses_by_hand():
    """Class 0 counts 2 and its density sums to 0; class 1 is absent with density 0; class 2 counts 9, most is 4.

    Counting: (0 - 2)^2, (0 - 0)^2, (5 - 0)^2 over three classes. Spatial: sigmoid(0) everywhere, log 2 each.
    """
    density, maps = torch.zeros(1, 3, 9, 9), peaky().repeat(1, 3, 1, 1)
    terms = countseg.density_losses(density, maps, torch.tensor([[2, 0, 9]]), 4)
    assert terms["counting"].item() == pytest.approx((4 + 0 + 25) / 3)
    assert terms["spatial"].item() == pytest.approx(2 * math.log(2), rel=1e-5)


def test_more_than_most_is_enough():
    density, maps = torch.full((1, 1, 2, 2), 2.0), torch.rand(1, 1, 2, 2)
    assert countseg.density_losses(density, maps, torch.tensor([[9]]), 4)["counting"] == 0
    assert countseg.density_losses(density, maps, torch.tensor([[0]]), 4)["spatial"] > 2


def test_the_density_says_how_many_peaks_to_follow():
    maps = torch.cat([peaky(), peaky() - 50], 1)
    density = torch.full((1, 2, 9, 9), 1.6 / 81)
    params = PrmParams(retrieval=RetrievalParams(class_threshold=0.0))
    found = countseg.counted_peaks(maps, density, params)
    assert found.label.tolist() == [0, 0] and found.value.tolist() == [3, 2]
