"""MIL-FCN, CCNN and WSSL: golden losses, the projection against a general solver, and the stages on drawn pictures."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from weakseg.baselines import ccnn, mil_fcn, wssl
from weakseg.baselines.ccnn import CcnnParams, Sizes
from weakseg.baselines.from_tags import allowed_labels
from weakseg.baselines.mil_fcn import MilFcnParams
from weakseg.baselines.wssl import WsslParams
from weakseg.data.sets import open_set
from weakseg.nets.deeplab import DeeplabParams
from weakseg.nets.final import Optimisation
from weakseg.study.artifacts import load_labels


def scores_of(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_background_is_always_allowed():
    assert allowed_labels(torch.tensor([[0.0, 1], [1, 0]])).tolist() == [[True, False, True], [True, True, False]]


# ---------------------------------------------------------------- MIL-FCN


def test_mil_loss_golden():
    """Two cells, p = (1/2, 1/4, 1/4) and (1/4, 5/8, 1/8); background and class 1: -(log 1/2 + log 5/8) / 2."""
    p = torch.tensor([[0.5, 0.25], [0.25, 0.625], [0.25, 0.125]], dtype=torch.float64)
    loss = mil_fcn.mil_loss(p.log().view(1, 3, 1, 2), torch.tensor([[True, True, False]]))
    assert loss.item() == pytest.approx(-(math.log(0.5) + math.log(0.625)) / 2)


def test_mil_loss_moves_the_best_cells_only():
    scores = scores_of(1, 3, 4, 4).requires_grad_()
    mil_fcn.mil_loss(scores, torch.tensor([[True, False, True]])).backward()
    best = scores.detach().log_softmax(1).flatten(2).argmax(2)[0, [0, 2]].tolist()
    moved = scores.grad.abs().sum(1).flatten().nonzero().flatten().tolist()
    assert set(moved) == set(best)


# ---------------------------------------------------------------- CCNN


def test_projection_of_what_already_keeps_the_constraints_is_the_softmax():
    scores = torch.zeros(1, 2, 3, 3, dtype=torch.float64)
    found = ccnn.project(scores, torch.ones(1, 2, dtype=torch.bool), Sizes())
    torch.testing.assert_close(found, torch.full_like(scores, 0.5))


def test_projection_golden():
    """Equal cells with P(background) = 1/10 and 9/10: the multipliers bring them to the bounds 0.3 and 0.7."""
    allowed = torch.ones(1, 2, dtype=torch.bool)
    for start, bound in ((0.1, 0.3), (0.9, 0.7)):
        p = torch.tensor([start, 1 - start], dtype=torch.float64).log().view(1, 2, 1, 1).expand(1, 2, 2, 2)
        found = ccnn.project(p, allowed, Sizes(foreground=0.0))
        torch.testing.assert_close(found[:, 0], torch.full((1, 2, 2), bound, dtype=torch.float64), atol=1e-5, rtol=0)


def test_slack_caps_the_push():
    """P(class) = 1/1000 everywhere asks for a push of log 999/19 = 3.96; the slack of 2 allows exp(2) of the odds."""
    p = torch.tensor([0.999, 0.001], dtype=torch.float64).log().view(1, 2, 1, 1)
    found = ccnn.project(p, torch.ones(1, 2, dtype=torch.bool), Sizes(background=(0.0, 1.0)), iterations=400)
    odds = found[0, 1, 0, 0] / found[0, 0, 0, 0]
    assert odds.item() == pytest.approx(math.exp(2) / 999, rel=1e-6)


def test_absent_classes_get_nothing():
    found = ccnn.project(scores_of(2, 4, 3, 3), torch.tensor([[True, True, False, False]] * 2), Sizes())
    assert (found[:, 2:] == 0).all()
    torch.testing.assert_close(found.sum(1), torch.ones(2, 3, 3, dtype=torch.float64))


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 1000))
def test_projection_against_a_general_solver(seed):
    """Four cells, three classes: minimise KL(P || Q) + slack * (missing foreground) by SLSQP on P and the slack."""
    scores = 2 * scores_of(1, 3, 2, 2, seed=seed)
    sizes = Sizes(foreground=0.3, background=(0.2, 0.5))
    found = ccnn.project(scores, torch.ones(1, 3, dtype=torch.bool), sizes, iterations=3000)[0].flatten(1).numpy()
    q = scores.softmax(1)[0].flatten(1).numpy()  # (3, 4)

    def cost(x):
        p = x[:12].reshape(3, 4).clip(1e-12)
        return (p * np.log(p / q)).sum() / 4 + sizes.slack * x[12:].sum()

    def shares(x):
        return x[:12].reshape(3, 4).mean(1)

    constraints = [
        {"type": "eq", "fun": lambda x: x[:12].reshape(3, 4).sum(0) - 1},
        {"type": "ineq", "fun": lambda x: shares(x)[1:] - 0.3 + x[12:]},
        {"type": "ineq", "fun": lambda x: np.array([shares(x)[0] - 0.2, 0.5 - shares(x)[0]])},
    ]
    start = np.concatenate([np.full(12, 1 / 3), np.zeros(2)])
    best = minimize(cost, start, bounds=[(0, 1)] * 14, constraints=constraints, options={"maxiter": 500, "ftol": 1e-12})
    assert best.success
    np.testing.assert_allclose(found, best.x[:12].reshape(3, 4), atol=5e-3)


def test_gradient_is_softmax_minus_projection():
    scores = scores_of(2, 3, 2, 2).requires_grad_()
    allowed = torch.tensor([[True, True, False], [True, True, True]])
    ccnn.constrained_loss(Sizes(), 50, 2.0, scores, allowed).backward()
    expected = (scores.softmax(1) - ccnn.project(scores, allowed, Sizes(), 50)) / 8  # 2 pictures of 4 cells
    torch.testing.assert_close(scores.grad, expected)


def test_bounds_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match="the smaller one first"):
        Sizes(background=(0.7, 0.3))


# ---------------------------------------------------------------- WSSL


def test_estimate_by_hand():
    """Five cells. Class 1 lies (1, 2, 3, 4, 5) behind the background; 40 % of five cells are two: bias 2, which wins
    the first cell and draws in the second, where the first label counts. The background leads already: bias 0."""
    scores = torch.tensor([[0.0] * 5, [-1.0, -2, -3, -4, -5], [9.0] * 5]).view(1, 3, 1, 5)
    labels = wssl.estimate(scores, torch.tensor([[True, True, False]]), 0.2, 0.4)
    assert labels.flatten().tolist() == [1, 0, 0, 0, 0]
    labels = wssl.estimate(scores, torch.tensor([[True, True, False]]), 0.2, 0.6)
    assert labels.flatten().tolist() == [1, 1, 0, 0, 0]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from([0.1, 0.4, 0.7]))
def test_every_tagged_class_wins_its_share_against_unbiased_rivals(seed, share):
    """With the background's share next to nothing, one tagged class gets its share of the cells (but a tie)."""
    scores = scores_of(1, 2, 10, 10, seed=seed)
    scores[:, 0] += 3
    labels = wssl.estimate(scores, torch.ones(1, 2, dtype=torch.bool), 1e-6, share)
    assert abs((labels == 1).float().mean().item() - share) <= 0.011


def test_labels_are_tagged_ones():
    labels = wssl.estimate(scores_of(2, 4, 6, 6), torch.tensor([[True, False, True, False]] * 2), 0.2, 0.4)
    assert set(labels.unique().tolist()) <= {0, 2}


# ---------------------------------------------------------------- stages

NET = DeeplabParams(backbone="tiny", head="largefov", channels=16, training=Optimisation(steps=3, batch_size=4))


@pytest.mark.parametrize("name", ["mil_fcn", "ccnn", "ccnn_size", "wssl"])
def test_stages_on_drawn_pictures(drawn, name):
    store, pictures, data = drawn
    common = {"pictures": pictures, "data": data, "split": "val", "seed": 0}
    run = {
        "mil_fcn": lambda: mil_fcn.label_maps(store, **common, mil_fcn=MilFcnParams(net=NET, side=None)),
        "ccnn": lambda: ccnn.label_maps(store, **common, ccnn=CcnnParams(net=NET, side=64), size_known=False),
        "ccnn_size": lambda: ccnn.label_maps(store, **common, ccnn=CcnnParams(net=NET, side=64), size_known=True),
        "wssl": lambda: wssl.label_maps(store, **common, wssl=WsslParams(net=NET, side=None)),
    }
    artifact = run[name]()
    view = open_set(pictures, data, "val")
    for index, picture in enumerate(view.names):
        found = load_labels(artifact / "semantic", picture)
        assert found.shape == view.image(index).shape[:2] and found.max() <= 3
