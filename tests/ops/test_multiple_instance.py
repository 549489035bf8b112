"""Multiple-instance detection on cases worked by hand: six boxes, two pictures, tags without proposals."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.ops import multiple_instance as mi

# Two animals. 0 is the first, 1 overlaps it by 80/100, 2 by 50/100, 3 by 30/100; 4 is the second; 5 touches neither.
SIX = torch.tensor(
    [[0, 0, 10, 10], [0, 0, 8, 10], [0, 0, 5, 10], [0, 0, 3, 10], [20, 0, 30, 10], [40, 40, 50, 50]]
).float()
OF_ONE = torch.zeros(6, dtype=torch.long)
SCORES = torch.tensor(
    [[0.5, 0.1, 0.0], [0.3, 0.0, 0.0], [0.2, 0.0, 0.0], [0.1, 0.0, 0.9], [0.0, 0.4, 0.0], [0.0, 0.2, 0.0]]
)


def test_labels_of_six_boxes():
    """Classes 0 and 1 are tagged; class 2 scores highest of all but is not."""
    seeds = mi.top_seeds(SCORES, torch.tensor([[1, 1, 0]]), OF_ONE)
    assert seeds.place.tolist() == [0, 4] and seeds.label.tolist() == [0, 1]
    assert seeds.score.tolist() == pytest.approx([0.5, 0.4])
    found = mi.assign(SIX, OF_ONE, seeds, 0.5)
    assert found.label.tolist() == [1, 1, 1, 0, 2, 0]  # an overlap of one half counts
    assert found.overlap.tolist() == pytest.approx([1, 0.8, 0.5, 0.3, 1, 0])
    assert found.weight[:5].tolist() == pytest.approx([0.5, 0.5, 0.5, 0.5, 0.4])
    assert found.seed[:5].tolist() == [0, 0, 0, 0, 1]


def test_a_proposal_serves_one_class_only():
    """Both classes want box 0; the first takes it, the second takes its next best."""
    scores = torch.tensor([[0.9, 0.8], [0.1, 0.3]])
    seeds = mi.top_seeds(scores, torch.ones(1, 2), torch.zeros(2, dtype=torch.long))
    assert seeds.place.tolist() == [0, 1]


def test_more_tags_than_proposals_leave_a_tag_without_seed():
    seeds = mi.top_seeds(torch.tensor([[0.9, 0.8]]), torch.ones(1, 2), torch.zeros(1, dtype=torch.long))
    assert seeds.place.tolist() == [0] and seeds.label.tolist() == [0]


def test_pictures_do_not_mix():
    """The same six boxes in two pictures with different tags: the second picture has class 2 only."""
    owner = torch.arange(2).repeat_interleave(6)
    tags = torch.tensor([[1, 1, 0], [0, 0, 1]])
    boxes = SIX.repeat(2, 1)
    seeds = mi.top_seeds(SCORES.repeat(2, 1), tags, owner)
    assert seeds.place.tolist() == [0, 4, 9]
    found = mi.assign(boxes, owner, seeds, 0.5)
    # Box 3 of picture two (0..3) overlaps box 2 (0..5) by 3/5, boxes 1 and 0 by less than a half.
    assert found.label.tolist() == [1, 1, 1, 0, 2, 0, 0, 0, 3, 3, 0, 0]


def test_a_picture_without_tags_weighs_nothing():
    owner = torch.tensor([0, 0, 1])
    seeds = mi.top_seeds(torch.full((3, 2), 0.5), torch.tensor([[0, 0], [1, 0]]), owner)
    found = mi.assign(SIX[:3], owner, seeds, 0.5)
    assert found.weight.tolist() == [0, 0, 0.5] and found.seed.tolist() == [-1, -1, 0]
    nothing = mi.top_seeds(torch.full((3, 2), 0.5), torch.zeros(2, 2), owner)
    assert mi.assign(SIX[:3], owner, nothing, 0.5).label.tolist() == [0, 0, 0]
    logits = torch.zeros(3, 3, requires_grad=True)
    loss = mi.refinement_loss(logits, mi.assign(SIX[:3], owner, nothing, 0.5), owner, 2)
    loss.backward()
    assert loss.item() == 0 and torch.isfinite(logits.grad).all()


def test_peaks_are_high_and_apart():
    """Class 0: boxes 1 (0.3) and 2 (0.2) lie on box 0 and go. Class 1: box 4 (0.4); box 5 (0.2) has one half of it."""
    tags = torch.tensor([[1, 1, 0]])
    seeds = mi.peak_seeds(SCORES, tags, OF_ONE, SIX, 0.5, 0.3)
    assert sorted(zip(seeds.place.tolist(), seeds.label.tolist(), strict=True)) == [(0, 0), (4, 1), (5, 1)]
    alone = mi.peak_seeds(SCORES, tags, OF_ONE, SIX, 1.0, 0.3)
    assert sorted(alone.place.tolist()) == [0, 4]


def test_midn_by_hand():
    """Two proposals, two classes: recognition says class 0 for both, detection prefers the first three to one."""
    recognition = torch.tensor([[math.log(4.0), 0.0], [math.log(4.0), 0.0]])
    detection = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])
    owner = torch.zeros(2, dtype=torch.long)
    z = mi.midn_scores(recognition, detection, owner, 1)
    assert z.flatten().tolist() == pytest.approx([0.8 * 0.75, 0.2 * 0.5, 0.8 * 0.25, 0.2 * 0.5])
    loss = mi.midn_loss(z, torch.tensor([[1, 0]]), owner)
    assert loss.item() == pytest.approx(-math.log(0.8) - math.log(0.8), rel=1e-5)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 99), st.integers(1, 4), st.integers(1, 5))
def test_softmax_within_is_a_softmax_of_each_picture(seed, pictures, classes):
    generator = torch.Generator().manual_seed(seed)
    count = torch.randint(1, 5, (pictures,), generator=generator)
    scores = torch.randn(int(count.sum()), classes, generator=generator) * 10
    owner = torch.arange(pictures).repeat_interleave(count)
    found = mi.softmax_within(scores, owner, pictures)
    for b in range(pictures):
        assert torch.allclose(found[owner == b], scores[owner == b].softmax(0), atol=1e-6)


def test_gradients_of_midn_and_refinement():
    torch.manual_seed(0)
    owner, tags = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([[1, 0], [1, 1]])
    inputs = [torch.randn(5, 2, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(
        lambda r, d: mi.midn_loss(mi.midn_scores(r, d, owner, 2), tags, owner), inputs, atol=1e-6
    )
    assigned = mi.Assigned(torch.tensor([0, 1, 2, 0, 2]), torch.rand(5).double(), None, None)
    logits = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: mi.refinement_loss(x, assigned, owner, 2), [logits])


def test_refinement_loss_by_hand():
    """Even logits of three classes: log 3 each. Picture one: weights 0.5 and 0.1, mean 0.3; picture two: 0.2."""
    owner = torch.tensor([0, 0, 1])
    assigned = mi.Assigned(torch.tensor([1, 0, 2]), torch.tensor([0.5, 0.1, 0.2]), None, None)
    loss = mi.refinement_loss(torch.zeros(3, 3), assigned, owner, 2)
    assert loss.item() == pytest.approx(math.log(3) * (0.3 + 0.2) / 2, rel=1e-5)


def test_sample_keeps_seeds_and_quotas():
    seeds = mi.top_seeds(
        SCORES.repeat(2, 1), torch.tensor([[1, 1, 0], [1, 0, 0]]), torch.arange(2).repeat_interleave(6)
    )
    owner = torch.arange(2).repeat_interleave(6)
    assigned = mi.assign(SIX.repeat(2, 1), owner, seeds, 0.5)
    for _ in range(5):
        chosen = mi.sample(assigned, owner, seeds, 2, 1, apart=0.5)
        assert set(seeds.place.tolist()) <= set(chosen.tolist())
        for b in range(2):
            of = assigned.label[chosen[owner[chosen] == b]]
            assert (of > 0).sum() == 2 and (of == 0).sum() == 1
    assert mi.sample(assigned, owner, seeds, 99, 99, apart=0.5).tolist() == list(range(12))


def test_the_budget_of_background_is_spent_on_what_lies_apart():
    """Two pictures, each with a seed, 20 parts of an object (IoU 0.3) and 4 boxes elsewhere: 3 of the 4 are drawn."""
    overlap = torch.cat([torch.ones(1), torch.full((20,), 0.3), torch.zeros(4)]).repeat(2)
    owner = torch.arange(2).repeat_interleave(25)
    seeds = mi.Seeds(torch.tensor([0, 25]), torch.zeros(2, dtype=torch.long), torch.ones(2))
    assigned = mi.Assigned((overlap >= 0.5).long(), torch.ones(50), overlap, owner)
    for seed in range(10):
        torch.manual_seed(seed)
        chosen = mi.sample(assigned, owner, seeds, 16, 3, apart=0.1)
        assert overlap[chosen].tolist() == [1, 0, 0, 0] * 2 and owner[chosen].tolist() == [0] * 4 + [1] * 4
    assert mi.sample(assigned, owner, seeds, 16, 99, apart=0.5).tolist() == list(range(50))


def test_where_apart_is_the_bound_of_foreground_all_background_may_be_drawn():
    """The paper's case: what is drawn does not depend on `apart`, for `assign` leaves no background at 0.5 or above."""
    owner = torch.arange(2).repeat_interleave(6)
    seeds = mi.top_seeds(SCORES.repeat(2, 1), torch.tensor([[1, 1, 0], [1, 0, 0]]), owner)
    assigned = mi.assign(SIX.repeat(2, 1), owner, seeds, 0.5)
    for seed in range(5):
        drawn = []
        for apart in (0.5, 2.0):
            torch.manual_seed(seed)
            drawn.append(mi.sample(assigned, owner, seeds, 1, 1, apart).tolist())
        assert drawn[0] == drawn[1]
