"""Peaks and their way back, worked by hand on small maps and a two-layer net."""

import pytest
import torch
from torch import nn

from weakseg.ops import peaks


def test_find_peaks_by_hand():
    """Maxima of 3x3 windows at 9, 8, 4; the median of the 16 values is 1, the fourth maximum, 0.5, falls below it."""
    grid = torch.tensor([[9.0, 1, 1, 4], [1, 1, 1, 1], [1, 2, 1, 0], [8, 1, 0, 0.5]])[None, None]
    where = peaks.find_peaks(grid)[0, 0].nonzero().tolist()
    assert where == [[0, 0], [0, 3], [3, 0]]
    assert peaks.stimulate(grid).item() == pytest.approx((9 + 4 + 8) / 3)


def test_only_peaks_receive_gradient():
    maps = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    peaks.stimulate(maps).sum().backward()
    where = peaks.find_peaks(maps.detach())
    assert ((maps.grad != 0) == where).all()
    assert torch.autograd.gradcheck(peaks.stimulate, maps)


def test_a_flat_map_has_its_value_as_score():
    assert peaks.stimulate(torch.full((1, 1, 4, 4), 2.5)).item() == 2.5


def test_list_peaks_absolute_relative_and_capped():
    maps = torch.zeros(2, 2, 5, 5)
    maps[0, 0, 0, 0], maps[0, 0, 4, 4], maps[1, 1, 2, 2] = 10, 4, 6
    maps[0, 1] = -1

    def listed(*arguments):
        found = peaks.list_peaks(maps, *arguments)
        return [tuple(int(v) for v in entry) for entry in zip(*found, strict=True) if entry[-1] > 0]

    assert listed(3.0, False, 1.0, 3, 9) == [(0, 0, 0, 0, 10), (0, 0, 4, 4, 4), (1, 1, 2, 2, 6)]
    assert listed(0.5, True, 1.0, 3, 9) == [(0, 0, 0, 0, 10), (1, 1, 2, 2, 6)]
    assert listed(3.0, False, 1.0, 3, 1) == [(0, 0, 0, 0, 10), (1, 1, 2, 2, 6)]
    assert listed(3.0, False, 7.1, 3, 9) == []  # class scores are means over all peaks: (10 + 4) / 2 and 6


def two_layers():
    """1x1 convolutions 3 -> 2 -> 1 with hand-chosen weights."""
    net = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.Conv2d(2, 1, 1))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 2, -1], [-3, 1, 1]])[..., None, None])
        net[1].weight.copy_(torch.tensor([[2.0, -1]])[..., None, None])
        net[1].bias.fill_(7)
    return net


def test_two_layers_by_hand():
    """One pixel row of two: x = (1, 2, 0) and (0, 4, 3).

    Layer 1: h = (5, -1) and (5, 7). Layer 2 has one positive weight, 2, on channel 0, so the whole unit goes to h_0 of
    the peak's pixel whatever the shift min(h) = -1. Its positive weights are 1 on R and 2 on G; x is shifted by min 0:
    pixel 0 explains with (1 * 1, 2 * 2, 0) of 5, so R gets 1/5, G 4/5, B 0; pixel 1 with (0, 8, 0) of 8, so all on G.
    """
    pictures = torch.tensor([[[[1.0, 0]], [[2, 4]], [[0, 3]]]], requires_grad=True)
    twin = peaks.for_back_propagation(two_layers())
    maps = twin(pictures)
    torch.testing.assert_close(maps, two_layers()(pictures))
    start = torch.zeros_like(maps)
    start[..., 0] = 1
    (down,) = torch.autograd.grad(maps, pictures, start, retain_graph=True)
    torch.testing.assert_close(down[0, :, 0], torch.tensor([[0.2, 0], [0.8, 0], [0, 0]]))
    (down,) = torch.autograd.grad(maps, pictures, start.flip(-1))
    torch.testing.assert_close(down[0, :, 0], torch.tensor([[0.0, 0], [0, 1], [0, 0]]))


def test_the_shift_matters():
    """Negative inputs are lifted to zero first: x = (-1, 1, 0), shifted (0, 2, 1); positive weights (1, 1, 1)."""
    net = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False))
    nn.init.ones_(net[0].weight)
    pictures = torch.tensor([-1.0, 1, 0]).view(1, 3, 1, 1).requires_grad_()
    maps = peaks.for_back_propagation(net)(pictures)
    (down,) = torch.autograd.grad(maps, pictures, torch.ones_like(maps))
    torch.testing.assert_close(down.flatten(), torch.tensor([0, 2 / 3, 1 / 3]))


def test_no_positive_weight_explains_nothing():
    net = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False))
    nn.init.constant_(net[0].weight, -1.0)
    found = peaks.Peaks(*(torch.tensor([0]) for _ in range(4)), torch.tensor([1.0]))
    response = peaks.back_propagate(peaks.for_back_propagation(net), torch.rand(1, 1, 3, 3), found)
    assert (response == 0).all()


def deep_net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=2, dilation=2), nn.ReLU(),
        nn.Conv2d(8, 4, 1),
    ).eval()  # fmt: skip


def test_many_peaks_at_once_equal_one_by_one():
    """Two pictures with several peaks, three at once: the last pass is not full. Each map equals its own pass."""
    pictures = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    twin = peaks.for_back_propagation(deep_net())
    found = peaks.list_peaks(deep_net()(pictures).detach(), 0.0, True, -100, 3, 5)
    together = peaks.back_propagate(twin, pictures, found, at_once=3)
    assert len(found.picture) >= 4
    for number, (picture, label, y, x, _) in enumerate(zip(*found, strict=True)):
        alone = pictures[picture : picture + 1].detach().requires_grad_()
        start = torch.zeros(1, 4, 6, 6)
        start[0, label, y, x] = 1
        (down,) = torch.autograd.grad(twin(alone), alone, start)
        expected = down.sum(1)[0].clamp(min=0)
        torch.testing.assert_close(together[number], expected / expected.sum().clamp(min=1e-10))


def test_response_stays_in_the_receptive_field():
    """A corner cell sees 1 + 2 * (2 + 1) rows and columns at most: nothing from row or column 6 on."""
    pictures = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(2))
    corner = peaks.Peaks(*(torch.tensor([n]) for n in (0, 1, 0, 0)), torch.tensor([1.0]))
    response = peaks.back_propagate(peaks.for_back_propagation(deep_net()), pictures, corner)[0]
    assert response.sum() == pytest.approx(1, abs=1e-5)
    assert (response[6:] == 0).all() and (response[:, 6:] == 0).all()


def test_no_peak_no_response():
    none = peaks.Peaks(*(torch.zeros(0, dtype=torch.long) for _ in range(4)), torch.zeros(0))
    assert peaks.back_propagate(peaks.for_back_propagation(deep_net()), torch.rand(1, 3, 8, 8), none).shape == (0, 8, 8)


def test_unsupported_padding_is_refused():
    with pytest.raises(ValueError, match="use zeros and numbers"):
        peaks.for_back_propagation(nn.Sequential(nn.Conv2d(1, 1, 3, padding="same")))
