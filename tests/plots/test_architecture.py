"""The plan read off a network is the network's, and the drawing shows every part of it."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from weakseg.plots.architecture import architecture
from weakseg.plots.trace import describe, read_plan


class Forked(nn.Module):
    """stem -> deep; head sees both, joined after upsampling."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.GroupNorm(2, 4), nn.ReLU(inplace=True))
        self.deep = nn.Conv2d(4, 6, 3, 2, 1)
        self.head = nn.Conv2d(10, 2, 1)
        self.spare = nn.Conv2d(1, 1, 1)
        self.stem.requires_grad_(False)

    def forward(self, x):
        low = self.stem(x)
        deep = F.interpolate(torch.relu(self.deep(low)), size=low.shape[2:])
        return {"out": self.head(torch.cat([low, deep], 1))}


PARTS = ["stem", "deep", "head"]


def plan():
    return read_plan(Forked(), PARTS, torch.rand(1, 3, 16, 16))


def test_parts_have_the_networks_channels_strides_and_weights():
    stem, deep, head = plan().blocks
    assert [(b.name, b.channels, b.stride) for b in (stem, deep, head)] == [
        ("stem", 4, 2),
        ("deep", 6, 4),
        ("head", 2, 2),
    ]
    assert (stem.trained, deep.trained) == (False, True)
    assert head.parameters == 10 * 2 + 2
    assert stem.kind == "3x3 conv /2, GN(2), ReLU"


def test_edges_pass_through_upsampling_and_concatenation():
    assert plan().edges == ((0, 1), (0, 2), (1, 2))


def test_reading_leaves_no_hook_and_the_training_mode():
    net = Forked().train()
    read_plan(net, PARTS, torch.rand(1, 3, 16, 16))
    assert net.training and not net.stem._forward_hooks


def test_unknown_and_unused_parts_are_named():
    with pytest.raises(ValueError, match="no part 'neck'"):
        read_plan(Forked(), ["neck"], torch.rand(1, 3, 16, 16))
    with pytest.raises(ValueError, match="did not pass 'spare'"):
        read_plan(Forked(), ["spare"], torch.rand(1, 3, 16, 16))


def test_describe_counts_repeats_and_names_what_has_parts_of_its_own():
    convs = [nn.Conv2d(2, 2, 1) for _ in range(2)]
    row = nn.Sequential(*convs, nn.BatchNorm2d(2), nn.Identity(), nn.MaxPool2d(2))
    assert describe(row) == "2 1x1 conv, BN, max pool"
    assert describe(nn.Sequential(Forked(), Forked())) == "2 Forked"


def test_the_drawing_names_every_part_and_lane():
    figure = architecture(plan(), {"head": "head", "stem": "stem", "deep": "deep"}, "t", names={"deep": "s2"})
    words = [text.get_text() for text in figure.axes[0].texts]
    assert {"stem", "s2", "head", "4 ch, stride 2", "6 ch, stride 4"} <= set(words)
    with pytest.raises(ValueError, match="'stem' fits no lane"):
        architecture(plan(), {"head": "head"}, "t")
