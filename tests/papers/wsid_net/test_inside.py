"""The modules of WSID-Net step by step."""

import numpy as np
import pytest
import torch

from weakseg.nets.attention import DoubleAttention
from weakseg.nets.boundary_enhancement import BoundaryEnhancement, EnhancementParams
from weakseg.papers.wsid_net import inside

PICTURE = (np.random.default_rng(0).random((37, 50, 3)) * 255).astype(np.uint8)


def test_the_steps_of_enhancement():
    module = BoundaryEnhancement(EnhancementParams(lines=2, width=8)).eval()
    steps = inside.enhancement_steps(module, PICTURE)
    assert [each.shape for each in steps.values()] == [(37, 50), (37, 50), (10, 13), (37, 50), (10, 13)]
    assert all(0 <= each.min() and each.max() <= 1 for each in steps.values())
    assert set(np.unique(steps["Canny edges"])) == {0, 1}


def test_the_steps_of_attention_lead_to_its_result():
    torch.manual_seed(0)
    module, f = DoubleAttention(6, reduction=2), torch.rand(6, 5, 4)
    steps = inside.attention_steps(module, f)
    joined = f * torch.from_numpy(steps.channel)[:, None, None] + f * torch.from_numpy(steps.spatial)
    np.testing.assert_allclose(inside.strength(joined), steps.after, rtol=1e-5)
    np.testing.assert_allclose(steps.maximum, f.amax((1, 2)).numpy())
    with pytest.raises(ValueError, match="arrangement 'spatial' has one attention only"):
        inside.attention_steps(DoubleAttention(6, "spatial"), f)


def test_the_network_as_it_was_trained(toy):
    net = inside.trained_branches(toy, 0)
    assert not net.training
    maps = inside.features_of(net, PICTURE)
    assert [len(each) for each in maps] == list(net.backbone.channels)
