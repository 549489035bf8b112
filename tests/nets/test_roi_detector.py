"""The RoI detector: shapes, losses that fall to known values, bad input, and the speed of a step."""

import time

import pytest
import torch

from weakseg.nets import roi_detector as rd
from weakseg.nets.proposal_samples import collate_proposals, mirrored, owners
from weakseg.nets.roi_detector import DetectorParams, Read

TINY = DetectorParams(backbone="tiny", weights=None, cut_after=0, output_stride=8, pool=4, regressor="agnostic")
BOXES = torch.tensor([[0.0, 0, 30, 30], [2, 2, 30, 30], [40, 40, 60, 60], [0, 0, 64, 64]])


def built(**changes) -> rd.RoiDetector:
    torch.manual_seed(0)
    return rd.build_detector(TINY.model_copy(update=changes), 3)


def test_shapes():
    owner = torch.tensor([0, 0, 1, 1])
    read, maps = built(regressor="specific")(torch.rand(2, 3, 64, 64), BOXES, owner)
    assert read.features.shape == (4, 32, 4, 4) and read.midn.shape == (4, 3)
    assert [tuple(b.shape) for b in read.branches] == [(4, 4)] * 3 and read.offsets.shape == (4, 12)
    assert [m.shape[1] for m in maps] == [16, 16, 16, 24]
    assert torch.allclose(rd.mean_scores(read).sum(1), torch.ones(4), atol=1e-6)


def test_a_stride_in_the_last_stage_halves_the_roi():
    read, _ = built(output_stride=32, pool=7)(torch.rand(1, 3, 64, 64), BOXES, torch.zeros(4, dtype=torch.long))
    assert read.features.shape[2:] == (4, 4)


def test_wsddn_has_no_branches_and_no_background():
    read, _ = built(refinements=0, regressor="none")(torch.rand(1, 3, 64, 64), BOXES, torch.zeros(4, dtype=torch.long))
    assert read.branches == () and read.offsets is None
    scores = rd.mean_scores(read)
    assert (scores[:, 0] == 0).all() and torch.equal(scores[:, 1:], read.midn)


def test_frozen_norms_stay_frozen_in_the_last_stage_too():
    net = built(frozen_norm="statistics").train()
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) > 8 and not any(norm.training for norm in norms)
    assert any(p.requires_grad for p in net.last.parameters())


def fixed(offsets: torch.Tensor) -> Read:
    """Branches that are sure: proposal 0 is class 0, all else background."""
    sure = torch.full((4, 3), -20.0)
    sure[:, 0] = 20.0
    sure[0] = torch.tensor([-20.0, 20.0, -20.0])
    midn = torch.tensor([[1.0, 0], [0, 0], [0, 0], [0, 0]])
    return Read(torch.zeros(4, 1, 1, 1), midn, (sure, sure), offsets)


def test_losses_of_a_detector_that_is_right():
    """Box 1 overlaps the seed by 784/900, so it is foreground and the sure background logit costs 40; the mean is 10.

    The regressor of box 1 misses by the offsets from (2, 2, 30, 30) to (0, 0, 30, 30).
    """
    owner, tags = torch.zeros(4, dtype=torch.long), torch.tensor([[1.0, 0]])
    terms = rd.detector_losses(TINY, fixed(torch.zeros(4, 4)), BOXES, owner, tags)
    assert terms["cls"].item() == pytest.approx(0, abs=1e-4)
    assert terms["refine"].item() == pytest.approx(2 * 40 / 4, rel=1e-5)
    shift, grow = -1 / 28, torch.tensor(30 / 28).log().item()
    assert terms["reg"].item() == pytest.approx((shift**2 + grow**2) / 4, rel=1e-4)


def test_won_tags_count_the_background():
    owner, tags = torch.zeros(4, dtype=torch.long), torch.tensor([[1.0, 1]])
    assert rd.won_tags(fixed(torch.zeros(4, 4)), owner, tags).tolist() == [[True, False]]


@pytest.mark.parametrize("boxes", [BOXES[3:], torch.tensor([[0.0, 0, 1, 1]])])
def test_one_proposal_and_two_tags_train_on(boxes):
    """A picture whose only proposal is all of it (or hardly anything), with more tags than proposals."""
    net, owner, tags = built(), torch.zeros(1, dtype=torch.long), torch.tensor([[1.0, 1, 0]])
    read, _ = net(torch.rand(1, 3, 64, 64), boxes, owner)
    terms = rd.detector_losses(TINY, read, boxes, owner, tags)
    sum(terms.values()).backward()
    gradients = [p.grad for p in net.parameters() if p.grad is not None]
    assert gradients and all(torch.isfinite(g).all() for g in gradients)


def test_a_tag_free_picture_trains_on():
    net, owner = built(regressor="agnostic"), torch.zeros(4, dtype=torch.long)
    read, _ = net(torch.rand(1, 3, 64, 64), BOXES, owner)
    terms = rd.detector_losses(TINY, read, BOXES, owner, torch.zeros(1, 3))
    assert terms["refine"] == 0 and terms["reg"] == 0 and torch.isfinite(terms["cls"])


def test_collate_pads_pictures_and_lays_boxes_in_a_row():
    samples = [
        {"name": "a", "picture": torch.ones(3, 4, 6), "boxes": torch.ones(2, 4), "tags": torch.zeros(2)},
        {"name": "b", "picture": torch.ones(3, 5, 3), "boxes": torch.zeros(1, 4), "tags": torch.ones(2)},
    ]
    batch = collate_proposals(samples)
    assert batch["picture"].shape == (2, 3, 5, 6) and batch["picture"][1, :, :, 3:].sum() == 0
    assert owners(batch["count"], batch["boxes"]).tolist() == [0, 0, 1] and batch["boxes"].shape == (3, 4)
    assert mirrored(torch.tensor([[1.0, 2, 4, 5]]), 10).tolist() == [[6, 2, 9, 5]]


def test_a_step_has_no_loop_over_proposals():
    """All losses of 3000 proposals in less than half a second: nothing runs proposal by proposal."""
    C, owner = 6, torch.zeros(3000, dtype=torch.long)
    boxes = torch.rand(3000, 4) * 50
    boxes[:, 2:] += boxes[:, :2] + 5
    tags = torch.ones(1, C)

    def seconds(n: int) -> float:
        read = Read(torch.zeros(1), torch.rand(n, C), tuple(torch.randn(n, C + 1) for _ in range(3)), torch.randn(n, 4))
        began = time.process_time()
        rd.detector_losses(TINY, read, boxes[:n], owner[:n], tags)
        return time.process_time() - began

    seconds(30)
    assert min(seconds(3000) for _ in range(3)) < 0.5
