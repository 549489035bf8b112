"""The classifiers of table 6: sizes and layers on VGG-16, the same differences on a small trunk, their optimiser."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from weakseg.nets.final import Optimisation
from weakseg.papers.guided_labelling.model import SeederParams, build_seeder, load_plain_head, seeder_optimiser

PAPER = SeederParams()
SMALL = SeederParams(trunk="tiny", weights=None, channels=16, dilation=3, side=None)


def shape(form: str, side: int, params: SeederParams = PAPER) -> list[int]:
    with torch.device("meta"):
        return list(build_seeder(form, params, 20).eval().cam(torch.zeros(1, 3, side, side)).shape)


@pytest.mark.parametrize(
    "form, side, cells",
    [("vgg16", 224, 1), ("lowres", 321, 21), ("highres", 321, 41), ("roi", 321, 41), ("deeplab", 321, 41)],
)
def test_heat_maps_have_the_sizes_of_table_6(form, side, cells):
    assert shape(form, side) == [1, 20, cells, cells]


@pytest.mark.parametrize("form, cells", [("vgg16", 2), ("lowres", 4), ("highres", 8), ("roi", 8), ("deeplab", 8)])
def test_a_small_trunk_differs_in_resolution_in_the_same_way(form, cells):
    assert shape(form, 64, SMALL) == [1, 20, cells, cells]


@pytest.mark.parametrize("params", [PAPER, SMALL])
def test_heads_differ_in_windows_and_dilation(params):
    def layer(form, name):
        with torch.device("meta"):
            return getattr(build_seeder(form, params, 20).head, name, None)

    assert layer("lowres", "fc6").kernel_size == (3, 3) and layer("lowres", "fc7") is None
    assert layer("highres", "fc6").kernel_size == layer("highres", "fc7").kernel_size == (3, 3)
    assert layer("roi", "roi_pool").size == 3
    assert layer("roi", "fc6").kernel_size == layer("roi", "fc7").kernel_size == (1, 1)
    assert layer("deeplab", "fc6").dilation == (params.dilation,) * 2 and layer("deeplab", "fc7").kernel_size == (1, 1)


def test_only_deeplab_dilates_its_trunk():
    for form in ("vgg16", "lowres", "highres", "roi", "deeplab"):
        trunk = build_seeder(form, SMALL, 3).backbone
        dilated = any(m.dilation != (1, 1) for m in trunk.modules() if isinstance(m, nn.Conv2d))
        assert dilated == (form == "deeplab")


def test_strides_of_other_trunks_follow_the_finest():
    for finest, strides in ((8, (32, 16, 8, 8, 8)), (16, (32, 32, 16, 16, 16))):
        params = SMALL.model_copy(update={"finest": finest})
        for form, stride in zip(("vgg16", "lowres", "highres", "roi", "deeplab"), strides, strict=True):
            assert build_seeder(form, params, 3).cam(torch.zeros(1, 3, 64, 64)).shape[-1] == 64 // stride


def test_vgg_keeps_the_strides_of_table_6():
    with pytest.raises(ValueError, match="finest: VGG-16 has stride 8"):
        SeederParams(finest=16)


def test_plain_vgg_takes_its_linear_layers_from_the_weights():
    """A narrow fc6, as a 7x7 convolution, gives what the linear layer gives on a 7x7 map; fc7 likewise on 1x1."""
    torch.manual_seed(0)
    state = {"classifier.0.weight": torch.randn(5, 2 * 7 * 7), "classifier.0.bias": torch.randn(5)}
    state |= {"classifier.3.weight": torch.randn(5, 5), "classifier.3.bias": torch.randn(5)}
    head = nn.Sequential(OrderedDict(fc6=nn.Conv2d(2, 5, 7), fc7=nn.Conv2d(5, 5, 1)))
    load_plain_head(head, state)
    features = torch.rand(1, 2, 7, 7)
    hidden = nn.functional.linear(features.flatten(1), state["classifier.0.weight"], state["classifier.0.bias"])
    expected = nn.functional.linear(hidden, state["classifier.3.weight"], state["classifier.3.bias"])
    torch.testing.assert_close(head(features).flatten(1), expected)


def test_scores_are_the_mean_of_the_maps():
    net = build_seeder("highres", SMALL, 3).eval()
    pictures = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(net(pictures), net.cam(pictures).mean((2, 3)))


def test_every_part_has_its_rate_and_biases_do_not_decay():
    how = Optimisation(steps=1, lr=0.01, backbone_lr=0.5, weight_decay=5e-4)
    params = SMALL.model_copy(update={"training": how})
    net = build_seeder("lowres", params, 3)
    groups = seeder_optimiser(net, params).param_groups
    assert [group["lr"] for group in groups] == [0.005, 0.01, 0.01, 0.02, 0.1]  # trunk, its biases, head, its, fc8
    assert [group["weight_decay"] for group in groups] == [5e-4, 0.0, 5e-4, 0.0, 5e-4]
    assert sum(len(group["params"]) for group in groups) == len(list(net.parameters()))
