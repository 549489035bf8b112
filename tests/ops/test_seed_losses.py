"""The losses of SEC: golden values, gradients checked."""

import numpy as np
import pytest
import torch

from weakseg.ops import seed_losses
from weakseg.ops.crf import CrfParams


def probabilities(*shape, seed=0):
    scores = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return seed_losses.smoothed(scores)


def test_smoothing():
    """Scores (0, -inf-ish): (1 + 1e-4) / (1 + 2e-4) and 1e-4 / (1 + 2e-4)."""
    p = seed_losses.smoothed(torch.tensor([0.0, -1000.0], dtype=torch.float64).view(1, 2, 1, 1)).flatten()
    assert p.tolist() == pytest.approx([1.0001 / 1.0002, 0.0001 / 1.0002])


def test_seed_loss_golden():
    """Picture 1 has two cues of p 1/2 and 1/4: mean -log = 3/2 log 2; picture 2 none: 0. Their mean is 3/4 log 2."""
    p = torch.full((2, 2, 1, 3), 0.5, dtype=torch.float64)
    p[0, :, 0, 1] = torch.tensor([0.75, 0.25])
    cues = torch.full((2, 1, 3), 255)
    cues[0, 0, 0], cues[0, 0, 1] = 0, 1
    assert seed_losses.seed_loss(p, cues).item() == pytest.approx(0.75 * np.log(2))


def test_pooling_golden():
    """Two cells stand for 41 x 41: rank 1 weighs d^(1681 / 2). With d^(1681 / 2) = 1/3: (0.8 + 0.2 / 3) / (4 / 3)."""
    p = torch.tensor([0.2, 0.8], dtype=torch.float64).view(1, 1, 1, 2)
    decay = (1 / 3) ** (2 / 1681)
    assert seed_losses.pooled(p, decay).item() == pytest.approx((0.8 + 0.2 / 3) / (4 / 3))


def test_pooling_lies_between_mean_and_maximum_and_is_the_same_on_a_finer_grid():
    p = probabilities(2, 3, 8, 8)
    pooled = seed_losses.pooled(p, 0.996)
    assert (pooled >= p.mean(dim=(2, 3)) - 1e-12).all() and (pooled <= p.amax(dim=(2, 3)) + 1e-12).all()
    fine = seed_losses.pooled(p.repeat_interleave(4, 2).repeat_interleave(4, 3), 0.996)
    torch.testing.assert_close(pooled, fine, rtol=0.06, atol=0)


def test_expand_loss_golden():
    """One cell, K = 3: p = (0.2, 0.7, 0.1), class 1 tagged: -log 0.7 - log(1 - 0.1) - log 0.2."""
    p = torch.tensor([0.2, 0.7, 0.1], dtype=torch.float64).view(1, 3, 1, 1)
    loss = seed_losses.expand_loss(p, torch.tensor([[1.0, 0.0]], dtype=torch.float64), 0.996, 0.999)
    assert loss.item() == pytest.approx(-np.log(0.7) - np.log(0.9) - np.log(0.2))
    everything = seed_losses.expand_loss(p, torch.ones(1, 2, dtype=torch.float64), 0.996, 0.999)
    assert everything.item() == pytest.approx(-(np.log(0.7) + np.log(0.1)) / 2 - np.log(0.2))
    nothing = seed_losses.expand_loss(p, torch.zeros(1, 2, dtype=torch.float64), 0.996, 0.999)
    assert nothing.item() == pytest.approx(-(np.log(0.3) + np.log(0.9)) / 2 - np.log(0.2))


def test_constrain_loss_golden():
    """q = (3/4, 1/4), p = (1/2, 1/2): KL = 3/4 log 3/2 + 1/4 log 1/2; zero when they agree; no gradient to q."""
    q = torch.tensor([0.75, 0.25], dtype=torch.float64).view(1, 2, 1, 1).requires_grad_()
    p = torch.full((1, 2, 1, 1), 0.5, dtype=torch.float64, requires_grad=True)
    loss = seed_losses.constrain_loss(p, q)
    assert loss.item() == pytest.approx(0.75 * np.log(1.5) + 0.25 * np.log(0.5))
    loss.backward()
    assert q.grad is None and p.grad is not None
    assert seed_losses.constrain_loss(q.detach(), q).item() == pytest.approx(0)


def test_gradients():
    scores = torch.randn(
        2, 4, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True
    )
    cues = torch.tensor([0, 1, 2, 3, 255, 255, 1, 1, 0]).view(1, 3, 3).repeat(2, 1, 1)
    tags = torch.tensor([[1.0, 0, 1], [0, 0, 1]], dtype=torch.float64)
    target = probabilities(2, 4, 3, 3, seed=2)
    for loss in (
        lambda s: seed_losses.seed_loss(seed_losses.smoothed(s), cues),
        lambda s: seed_losses.expand_loss(seed_losses.smoothed(s), tags, 0.996, 0.999),
        lambda s: seed_losses.constrain_loss(seed_losses.smoothed(s), target),
    ):
        assert torch.autograd.gradcheck(loss, scores)


def test_guides_are_bytes_of_averaged_cells():
    picture = torch.zeros(1, 3, 2, 6)
    picture[0, 0, :, 2:4], picture[0, 1, 0, 4:] = 1.0, 1.0  # red in the middle, green in the upper half on the right
    guides = seed_losses.guides_of(picture, (1, 3))
    assert guides.dtype == torch.uint8 and guides.tolist() == [[[[0, 0, 0], [255, 0, 0], [0, 128, 0]]]]


def test_crf_targets_follow_the_picture():
    """Left half dark, right half bright; scores lean the right way in most cells: the CRF makes each half uniform."""
    guide = np.zeros((1, 12, 12, 3), np.uint8)
    guide[:, :, 6:] = 220
    p = torch.full((1, 2, 12, 12), 0.5, dtype=torch.float64)
    p[0, 0, :, :6], p[0, 0, :, 6:] = 0.7, 0.3
    p[0, 0, 5, 2], p[0, 0, 5, 9] = 0.4, 0.6
    p[0, 1] = 1 - p[0, 0]
    q = seed_losses.crf_targets(
        p, torch.from_numpy(guide), CrfParams(bilateral_xy=6.0, bilateral_rgb=13.0, gaussian_xy=1.0)
    )
    assert (q[0, 0, :, :6] > 0.5).all() and (q[0, 0, :, 6:] < 0.5).all()
    torch.testing.assert_close(q.sum(1), torch.ones(1, 12, 12, dtype=torch.float64))
