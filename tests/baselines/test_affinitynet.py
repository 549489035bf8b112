"""AffinityNet: affinities, losses and labels by hand; the walk against its dense form."""

import math

import numpy as np
import pytest
import torch

from weakseg.baselines import affinity_labels, affinitynet
from weakseg.baselines.affinitynet import AffinityNetParams
from weakseg.ops import affinity
from weakseg.ops.cam import Cams

TINY = AffinityNetParams(
    backbone="tiny", weights=None, embedding=(4, 4, 8), stride=4, radius=3, crf=None, crop=64, beta=4, steps=20
)


def test_background_score():
    scores = affinitynet.with_background(np.array([[[0.5, 0.0, 1.0]], [[0.2, 0.0, 0.1]]]), 2)
    np.testing.assert_allclose(scores[0], [[0.25, 1, 0]])
    assert (affinitynet.with_background(np.zeros((0, 1, 2)), 4) == 1).all()


def test_confident_labels_by_hand():
    high = np.array([[[0.9, 0.3, 0.1, 0.01]]], np.float32)
    cams = Cams(np.array([4]), high, high)
    # alpha 4: background .0001, .24, .66, .96; alpha 32: 0, 1e-5, .03, .72
    assert affinitynet.confident_labels(np.zeros((1, 4, 3), np.uint8), cams, TINY).tolist() == [[5, 5, 255, 0]]


def test_affinity_by_hand():
    embedding = torch.zeros(1, 2, 2, 3)
    embedding[0, :, 0, 1] = torch.tensor([1.0, 3.0])
    assert affinitynet.embedding_affinity(embedding, 2).flatten().tolist() == pytest.approx([math.exp(-2)] * 4)


def test_loss_by_hand():
    labels = torch.tensor([[[9, 1, 1], [0, 255, 2]]])  # alike: (0, 2); different: (1, 0), (1, 2)
    embedding = torch.zeros(1, 2, 2, 3)
    embedding[0, :, 0, 1] = 0.5
    found = affinitynet.affinity_loss(embedding, labels, 2)
    assert found["foreground"].item() == pytest.approx(0.5, rel=1e-3)
    assert found["background"].item() == 0
    assert found["negative"].item() == pytest.approx(-math.log(1 - math.exp(-0.5)), rel=1e-3)
    assert found["loss"].item() == pytest.approx((found["foreground"] + 2 * found["negative"]).item() / 4)


def test_gradients():
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0, 1, 255])[torch.randint(3, (1, 4, 7), generator=generator)]
    embedding = torch.randn(1, 3, 4, 7, dtype=torch.float64, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(lambda e: affinitynet.affinity_loss(e, labels, 3)["loss"], embedding)


def test_majority_of_the_confident_labels():
    labels = torch.tensor([[1, 255, 0, 2], [255, 255, 2, 2], [255, 255, 0, 0], [255, 255, 0, 1]])
    assert affinitynet.majority(labels, 2).tolist() == [[1, 2], [255, 0]]
    assert (affinitynet.majority(torch.full((4, 4), 255), 2) == 255).all()


@pytest.mark.parametrize("stride", [4, 8])
def test_embeddings_lie_on_the_grid(stride):
    net = affinitynet.build_affinitynet(TINY.model_copy(update={"stride": stride})).eval()
    with torch.inference_mode():
        assert net(torch.rand(2, 3, 48, 52)).shape == (2, 16, -(-48 // stride), -(-52 // stride))


def test_a_frozen_backbone_stays():
    net = affinitynet.build_affinitynet(TINY.model_copy(update={"train_backbone": False})).train()
    net(torch.rand(1, 3, 32, 32)).sum().backward()
    assert not net.backbone.training
    assert all(p.grad is None for p in net.backbone.parameters())
    assert all(p.grad is not None for p in net.reduce.parameters())


def test_the_walk_against_its_dense_form():
    generator = torch.Generator().manual_seed(0)
    embedding, cams = torch.randn(1, 4, 6, 7, generator=generator), np.random.default_rng(0).random((2, 6, 7))
    pairs = affinity_labels.all_pairs(embedding, 3)[0].numpy()
    found = affinity_labels.walked_scores(cams, pairs, (2.0, 16.0), TINY)
    flat = embedding[0].flatten(1).T.double()
    ys, xs = np.divmod(np.arange(42), 7)
    near = (ys[:, None] - ys) ** 2 + (xs[:, None] - xs) ** 2 < 9
    dense = np.exp(-(flat[:, None] - flat[None]).abs().mean(-1).numpy()) ** TINY.beta * near
    rows = np.concatenate([[(1 - cams.max(0)) ** 2, (1 - cams.max(0)) ** 16], cams]).reshape(4, -1)
    expected = rows @ np.linalg.matrix_power(dense / dense.sum(0), TINY.steps)
    np.testing.assert_allclose(found.reshape(4, -1), expected, rtol=1e-4)


def test_pairs_are_those_of_the_offsets():
    embedding = torch.randn(1, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    pairs = affinity_labels.all_pairs(embedding, 2)
    for p, (dy, dx) in enumerate(affinity.offsets(2)):
        expected = torch.exp(-(embedding[0, :, 2, 2] - embedding[0, :, 2 + dy, 2 + dx]).abs().mean())
        torch.testing.assert_close(pairs[0, p, 2, 2], expected)
