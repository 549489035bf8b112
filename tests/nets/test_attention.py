"""Double attention: its equation, its switches, its size."""

import pytest
import torch

from weakseg.nets.attention import ChannelAttention, DoubleAttention, LevelAttention, SpatialAttention

ARRANGEMENTS = ("parallel", "serial", "channel", "spatial")


def parameters(module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (8, 3)])
def test_any_size_keeps_its_shape(arrangement, size):
    x = torch.randn(2, 24, *size)
    assert DoubleAttention(24, arrangement)(x).shape == x.shape


def test_parameters_are_those_counted_by_hand():
    assert parameters(ChannelAttention(32, 16)) == (32 * 2 + 2) + (2 * 32 + 32)
    assert parameters(ChannelAttention(8, 16)) == (8 + 1) + (8 + 8)  # one hidden unit is left
    assert parameters(SpatialAttention()) == 2 * 7 * 7 + 1
    both = (32 * 2 + 2) + (2 * 32 + 32) + 99
    counts = {"parallel": both, "serial": both, "channel": both - 99, "spatial": 99}
    assert {a: parameters(DoubleAttention(32, a)) for a in ARRANGEMENTS} == counts
    assert parameters(LevelAttention((8, 32))) == (9 + 16 + 99) + both


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_gradients_are_those_of_the_function(arrangement):
    torch.manual_seed(0)
    module = DoubleAttention(6, arrangement, reduction=2).double()
    x = torch.randn(2, 6, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, x)


def test_without_weights_every_attention_is_a_half():
    x = torch.randn(2, 8, 4, 4)
    gains = {"parallel": 1.0, "serial": 0.25, "channel": 0.5, "spatial": 0.5}
    for arrangement, gain in gains.items():
        module = DoubleAttention(8, arrangement)
        for p in module.parameters():
            torch.nn.init.zeros_(p)
        torch.testing.assert_close(module(x), gain * x)


def test_channel_attention_by_hand():
    module = ChannelAttention(2, 2)
    with torch.no_grad():
        module.mlp[0].weight.copy_(torch.tensor([[1.0, -1.0]]))
        module.mlp[0].bias.zero_()
        module.mlp[2].weight.copy_(torch.tensor([[1.0], [2.0]]))
        module.mlp[2].bias.copy_(torch.tensor([0.0, 1.0]))
    x = torch.tensor([[[[1.0, 3.0]], [[0.0, 1.0]]]])  # means 2, 0.5 -> hidden 1.5; maxima 3, 1 -> hidden 2
    expected = torch.sigmoid(torch.tensor([1.5 + 2.0, (3.0 + 1) + (4.0 + 1)])).view(1, 2, 1, 1)
    torch.testing.assert_close(module(x), expected)


def test_spatial_attention_sees_mean_and_maximum_over_channels():
    module = SpatialAttention()
    with torch.no_grad():
        module.convolution.weight.zero_()
        module.convolution.weight[0, :, 3, 3] = torch.tensor([1.0, 10.0])
        module.convolution.bias.zero_()
    x = torch.tensor([[[[0.1]], [[0.3]]]])
    torch.testing.assert_close(module(x), torch.sigmoid(torch.tensor(0.2 + 3.0)).view(1, 1, 1, 1))


def test_levels_have_attention_of_their_own():
    levels = LevelAttention((8, 16))
    maps = [torch.randn(1, 8, 6, 6), torch.randn(1, 16, 3, 3)]
    assert [x.shape for x in levels(maps)] == [x.shape for x in maps]
    with pytest.raises(ValueError):
        levels(maps[:1])
