"""Class activation inside proposals: pooling, smoothing, normalisation and equation 7 by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.papers.community_learning import img
from weakseg.papers.community_learning.img import Img, ImgParams

SMALL = ImgParams(size=4, channels=8, sigma=2.0)


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 30), st.floats(0.5, 50))
def test_pooling_weights_are_a_centred_distribution(size, sigma):
    weights = img.pooling_weights(size, sigma)
    assert weights.sum().item() == pytest.approx(1, rel=1e-4) and (weights >= 0).all()
    assert torch.equal(weights, weights.T) and torch.allclose(weights, weights.flip(0))
    assert weights.argmax() == ((size - 1) // 2) * size + (size - 1) // 2


def test_an_infinite_width_is_plain_pooling():
    """Weighted GAP equals GAP for infinite width, and `None` says so."""
    even = img.pooling_weights(6, None)
    assert torch.allclose(img.pooling_weights(6, 1e6), even) and torch.allclose(even, torch.full((6, 6), 1 / 36))
    maps = torch.rand(3, 6, 6)
    assert torch.allclose((maps * img.pooling_weights(6, 1e6)).sum((1, 2)), maps.mean((1, 2)), atol=1e-6)


def test_one_cell_apart_by_hand():
    """Two cells each way, sigma s: all four are equally far from the centre."""
    assert torch.allclose(img.pooling_weights(2, 0.7), torch.full((2, 2), 0.25))
    three = img.pooling_weights(3, 1.0)
    assert (three[1, 1] / three[0, 1]).item() == pytest.approx(math.exp(0.5), rel=1e-5)
    assert (three[1, 1] / three[0, 0]).item() == pytest.approx(math.exp(1.0), rel=1e-5)


def test_smoothing_tames_peaks():
    found = img.smoothed(torch.tensor([0.0, 1.0, math.e**3 - 1]))
    assert found.tolist() == pytest.approx([0, math.log(2), 3], rel=1e-5)


def test_pooled_logits_are_those_of_pooled_features():
    """The classifier on the weighted average of the features gives what the weighted average of the maps gives."""
    torch.manual_seed(0)
    cam, x = img.Cam(8, 3, SMALL), torch.rand(2, 8, 4, 4)
    logits, maps = cam(x)
    features = img.smoothed(cam.convolution(x))
    pooled = (features * cam.weights).sum((2, 3))
    assert torch.allclose(logits, cam.classifier(pooled), atol=1e-5) and maps.shape == (2, 3, 4, 4)
    rough = img.Cam(8, 3, SMALL.model_copy(update={"smooth": False}))
    rough.load_state_dict(cam.state_dict())
    assert not torch.allclose(rough(x)[1], maps)


def test_cam_loss_by_hand():
    """Softmax 1/2, 1/4, 1/4, the first is right: -log 1/2 - 2 log 3/4; a second proposal with 1/4: and so on."""
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25]]))
    first = -math.log(0.5) - 2 * math.log(0.75)
    second = -math.log(0.25) - math.log(0.5) - math.log(0.75)
    assert img.cam_loss(logits, torch.tensor([0])).item() == pytest.approx(first, rel=1e-5)
    both = img.cam_loss(logits.repeat(2, 1), torch.tensor([0, 1])).item()
    assert both == pytest.approx((first + second) / 2, rel=1e-5)
    assert img.cam_loss(logits[:0], torch.zeros(0, dtype=torch.long)) == 0


def test_maps_are_stretched_one_by_one():
    maps = torch.tensor([[[1.0, 2], [3, 5]], [[7.0, 7], [7, 7]]])
    assert img.stretched(maps).tolist() == [[[0, 0.25], [0.5, 1]], [[0, 0], [0, 0]]]


def test_attention_averages_levels_and_finds_its_column():
    """Labels count from 1; with a background class, column 0 is the background's."""
    with_background = Img([8, 8], 2, SMALL)
    without = Img([8, 8], 2, SMALL.model_copy(update={"background": False}))
    first = torch.tensor([[0.0, 1], [1, 1]])
    second = torch.tensor([[0.0, 0], [0, 4]])
    blank = torch.zeros(2, 2)
    label = torch.tensor([2])
    with_maps = [torch.stack([blank, blank, one])[None] for one in (first, second)]
    assert with_background.attention(with_maps, label).tolist() == [[[0, 0.5], [0.5, 1]]]
    without_maps = [torch.stack([blank, one])[None] for one in (first, second)]
    assert without.attention(without_maps, label).tolist() == [[[0, 0.5], [0.5, 1]]]


def test_without_background_only_objects_teach():
    module = Img([8], 2, SMALL.model_copy(update={"background": False}))
    logits = [torch.tensor([[3.0, 0.0], [0.0, 3.0]])]
    alone = module.loss([logits[0][:1]], torch.tensor([1]))
    assert torch.equal(module.loss(logits, torch.tensor([1, 0])), alone)
    assert module.loss(logits, torch.tensor([0, 0])) == 0
