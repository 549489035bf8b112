"""The joint loss: values by hand, both forms of each equation, and the paper's sums."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.papers.boxcaseg.losses import LossParams, fused, joint_losses, pixel_loss, upsampled
from weakseg.papers.boxcaseg.model import Scores

LOGIT = math.log(3)  # probability 0.75


def test_fused_by_hand():
    """alpha 0.7, probabilities 0.75 and 0.5: mixed 0.675; logits log 3 and 0: mixed 0.7 log 3."""
    salient, transferred = torch.tensor([LOGIT]), torch.tensor([0.0])
    assert fused(salient, transferred, 0.7).item() == pytest.approx(0.7 * LOGIT)
    assert fused(salient, transferred, 0.7, "probabilities").sigmoid().item() == pytest.approx(0.675)


@settings(deadline=None, max_examples=30)
@given(st.floats(-30, 30), st.floats(-30, 30), st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]))
def test_both_forms_lie_between_the_heads(first, second, alpha):
    a, t = torch.tensor([first, second], dtype=torch.float64)
    for mix in ("logits", "probabilities"):
        assert min(first, second) - 1e-6 <= fused(a, t, alpha, mix).item() <= max(first, second) + 1e-6
    assert fused(a, t, 1.0, "probabilities") == a and fused(a, t, 0.0, "probabilities") == t


def test_gradients_of_the_mixture():
    a, t = torch.randn(2, 3, dtype=torch.float64).requires_grad_().unbind()
    assert torch.autograd.gradcheck(lambda a, t: fused(a, t, 0.6, "probabilities"), (a, t))


def test_pixel_loss_by_hand():
    logits, mask = torch.tensor([[[LOGIT, -LOGIT]], [[LOGIT, LOGIT]]]), torch.tensor([[[1, 0]], [[1, 0]]]).bool()
    right, wrong = -math.log(0.75), -math.log(0.25)
    assert pixel_loss(logits, mask, "mean").item() == pytest.approx((3 * right + wrong) / 4)
    assert pixel_loss(logits, mask, "sum").item() == pytest.approx((3 * right + wrong) / 2)
    assert pixel_loss(logits[:0], mask[:0], "mean") == 0


def test_sums_are_means_times_pixels_bags_and_neighbours():
    """What a rate for sums must undo: per picture H W pixels, H + W bags, 8 H W pairs of neighbours."""
    torch.manual_seed(0)
    scores, inside = Scores(*torch.randn(3, 2, 6, 8)), torch.rand(2, 6, 8) > 0.5
    mean, total = (joint_losses(scores, inside, torch.ones(2).bool(), LossParams(reduction=r)) for r in ("mean", "sum"))
    for term, count in (("pixel", 48), ("bags", 14), ("smooth", 8 * 48)):
        assert total[term].item() == pytest.approx(count * mean[term].item(), rel=1e-5)


def constant_scores(weak: float, salient: float, transferred: float, pictures: int, asked: int) -> Scores:
    return Scores(
        torch.full((pictures, 2, 2), weak), torch.full((asked, 2, 2), salient), torch.full((asked, 2, 2), transferred)
    )


def test_the_whole_loss_by_hand():
    """A crop whose box holds two of four columns and all rows, and a salient picture whose mask is full; p = 0.75."""
    inside = torch.zeros(2, 4, 4, dtype=torch.bool)
    inside[0, :, :2] = inside[1] = True
    terms = joint_losses(constant_scores(LOGIT, LOGIT, LOGIT, 2, 1), inside, torch.tensor([False, True]), LossParams())
    right, wrong = -math.log(0.75), -math.log(0.25)
    assert terms["pixel"].item() == pytest.approx(right)
    assert terms["bags"].item() == pytest.approx((14 * right + 2 * wrong) / 16)
    # 4 sides of 4 pixels, 3 pairs with the padding each, less 1 in the corners: 44 of 8 * 16 pairs differ, by 0.75
    assert terms["smooth"].item() == pytest.approx(0.05 * 44 * 0.75**2 / 128)
    assert terms["loss"].item() == pytest.approx(sum(terms[k].item() for k in ("pixel", "bags", "smooth")))


def test_the_papers_sums_are_the_means_times_their_counts():
    inside = torch.rand(2, 4, 4) > 0.5
    found = [
        joint_losses(constant_scores(0.3, 0.1, -0.2, 2, 2), inside, torch.tensor([True, True]), LossParams(reduction=r))
        for r in ("mean", "sum")
    ]
    for name, count in {"pixel": 16, "bags": 8, "smooth": 8 * 16}.items():
        torch.testing.assert_close(found[1][name], count * found[0][name])


def test_without_bags_only_masks_teach():
    inside = torch.ones(1, 4, 4, dtype=torch.bool)
    terms = joint_losses(constant_scores(0.0, 1.0, 0.0, 1, 1), inside, torch.tensor([True]), LossParams(bags=False))
    assert set(terms) == {"loss", "pixel"} and terms["loss"] == terms["pixel"]


def test_upsampling_keeps_a_constant_and_takes_half_precision():
    found = upsampled(torch.full((1, 3, 3), 2.0, dtype=torch.bfloat16), (12, 9))
    assert found.dtype == torch.float32 and found.shape == (1, 12, 9) and (found == 2).all()
