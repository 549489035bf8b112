"""The community's losses: which terms there are, where gradients go, what bad pictures do, the time of a step."""

import time
from functools import partial

import pytest
import torch

from weakseg.nets.proposal_samples import collate_proposals
from weakseg.nets.roi_detector import DetectorParams, Read
from weakseg.papers.community_learning.img import ImgParams
from weakseg.papers.community_learning.losses import (
    LossWeights,
    SelectionParams,
    choose,
    community_losses,
    segmentation_loss,
)
from weakseg.papers.community_learning.model import SegParams, build_community

DETECTOR = DetectorParams(backbone="tiny", weights=None, cut_after=0, output_stride=8, pool=4)
IMG = ImgParams(size=6, channels=8, sigma=2.0)
SEG = SegParams(channels=(8, 8))
FEW = SelectionParams(foreground=4, background=4)


def losses_of(img=IMG, seg=SEG, detector=DETECTOR, weights=None):
    torch.manual_seed(0)
    model = build_community(detector, img, seg, 3).train()
    return model, partial(community_losses, detector, img.threshold, FEW, weights or LossWeights(), model)


def batch(pictures: int = 2, each: int = 10, side: int = 64) -> dict:
    generator = torch.Generator().manual_seed(1)
    corners = torch.rand(pictures * each, 2, generator=generator) * side / 2
    boxes = torch.cat([corners, corners + 8 + torch.rand(pictures * each, 2, generator=generator) * side / 3], 1)
    picture = torch.rand(pictures, 3, side, side, generator=generator)
    tags = torch.tensor([[1.0, 0, 1], [0, 1, 0]])[:pictures]
    return {"picture": picture, "boxes": boxes, "count": torch.full((pictures,), each), "tags": tags}


OFF = {"img": IMG.model_copy(update={"on": False}), "seg": SEG.model_copy(update={"on": False})}
NO_REG = DETECTOR.model_copy(update={"regressor": "none"})


@pytest.mark.parametrize(
    "changes, terms",
    [
        ({**OFF, "detector": NO_REG}, {"cls", "refine"}),
        ({"seg": OFF["seg"], "detector": NO_REG}, {"cls", "refine", "img"}),
        ({"detector": NO_REG}, {"cls", "refine", "img", "seg"}),
        ({}, {"cls", "refine", "reg", "img", "seg"}),
        ({"detector": DETECTOR.model_copy(update={"regressor": "specific"})}, {"cls", "refine", "reg", "img", "seg"}),
    ],
)
def test_every_row_of_the_tables_has_its_terms(changes, terms):
    model, losses = losses_of(**changes)
    found = losses(batch())
    assert set(found) == terms | {"loss", "won"}
    assert found["loss"].item() == pytest.approx(sum(found[name].item() for name in terms), rel=1e-5)
    found["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("cams", [1, 2, 3, 4])
@pytest.mark.parametrize("background", [True, False])
def test_every_number_of_cams_trains(cams, background):
    model, losses = losses_of(img=IMG.model_copy(update={"cams": cams, "background": background}))
    losses(batch())["loss"].backward()
    assert len(model.img.levels) == cams
    assert all(cam.classifier.weight.grad.abs().sum() > 0 for cam in model.img.levels)


def test_masks_teach_the_shared_features_but_not_their_teacher():
    """L_seg moves the backbone and IS; IMG, whose maps are its labels, it leaves alone."""
    model, losses = losses_of()
    losses(batch())["seg"].backward()
    assert model.detector.backbone.stages[0][0].weight.grad.abs().sum() > 0
    assert model.seg.output.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in model.img.parameters())


def test_weights_scale_terms():
    _, losses = losses_of(weights=LossWeights(cls=0, refine=2, reg=0, img=0, seg=0))
    found = losses(batch())
    assert found["loss"].item() == pytest.approx(2 * found["refine"].item(), rel=1e-5)


def test_segmentation_loss_by_hand():
    """An even guess costs log 2 a cell; nothing costs nothing."""
    loss = segmentation_loss(torch.zeros(2, 3, 3), torch.ones(2, 3, 3, dtype=torch.bool))
    assert loss.item() == pytest.approx(0.693147, rel=1e-5)
    assert segmentation_loss(torch.zeros(0, 3, 3), torch.zeros(0, 3, 3)) == 0


@pytest.mark.parametrize("tags", [[[1.0, 1, 1]], [[0.0, 0, 0]]])
def test_one_proposal_that_covers_all_trains_on(tags):
    """A picture with a single proposal, the whole of it, and more tags than proposals, or none."""
    model, losses = losses_of()
    one = {**batch(1, 1), "boxes": torch.tensor([[0.0, 0, 64, 64]]), "tags": torch.tensor(tags)}
    found = losses(one)
    found["loss"].backward()
    assert torch.isfinite(found["loss"])
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_pictures_of_two_sizes_train_together():
    model, losses = losses_of()
    samples = [
        {"name": str(side), "picture": part["picture"][0], "boxes": part["boxes"], "tags": part["tags"][0]}
        for side in (48, 80)
        for part in [batch(1, 5, side)]
    ]
    together = collate_proposals(samples)
    assert together["picture"].shape == (2, 3, 80, 80)
    losses(together)["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_tags_that_win_are_counted():
    model, losses = losses_of()
    with torch.no_grad():  # class 1 always, background never
        for branch in model.detector.branches:
            branch.weight.zero_()
            branch.bias.copy_(torch.tensor([0.0, 0.0, 9.0, 0.0]))
    found = losses(batch())
    assert model.tagged.tolist() == [1, 1, 1] and model.won.tolist() == [0, 1, 0]
    assert found["won"].item() == pytest.approx(1 / 3)


def test_masks_without_img_are_refused():
    with pytest.raises(ValueError, match="set img.on to true"):
        losses_of(img=OFF["img"])


def test_a_step_with_300_proposals_takes_no_seconds():
    """At 128 px, tiny net: processor seconds of one step, forward and backward."""
    model, losses = losses_of()
    big = batch(1, 300, 128)
    losses(big)["loss"].backward()
    began = time.process_time()
    losses(big)["loss"].backward()
    taken = time.process_time() - began
    print(f"a step with 300 proposals: {1000 * taken:.0f} ms")
    assert taken < 1.5


def test_a_part_of_an_object_is_not_taught_as_background():
    """A peak, its neighbour (IoU 0.81), a part (0.25), one elsewhere: the part is left out where `apart` says so."""
    boxes = torch.tensor([[0.0, 0, 20, 20], [0, 0, 18, 18], [0, 0, 10, 10], [40, 40, 60, 60]])
    logits = torch.tensor([[0.0, 9.0], [0, 1], [0, 1], [9, 0]])
    read = Read(torch.zeros(4, 1, 1, 1), torch.zeros(4, 1), (logits,), None)
    for apart, place, label in ((0.5, [0, 1, 2, 3], [1, 1, 0, 0]), (0.2, [0, 1, 3], [1, 1, 0])):
        how = SelectionParams(foreground=4, background=4, share=0.9, apart=apart)
        chosen = choose(read, boxes, torch.zeros(4, dtype=torch.long), torch.ones(1, 1), how)
        assert (chosen.place.tolist(), chosen.label.tolist()) == (place, label)


def test_parts_of_an_object_take_no_background_from_its_budget():
    """A peak, 12 parts of it (IoU 0.25) and two boxes elsewhere, with a budget of two: always both of these."""
    boxes = torch.tensor([[0.0, 0, 20, 20], *[[0.0, 0, 10, 10]] * 12, [40, 40, 60, 60], [40, 0, 60, 20]])
    logits = torch.tensor([[0.0, 9.0], *[[0.0, 1.0]] * 12, [9, 0], [9, 0]])
    read, owner = Read(torch.zeros(15, 1, 1, 1), torch.zeros(15, 1), (logits,), None), torch.zeros(15).long()
    how = SelectionParams(foreground=4, background=2, share=0.9, apart=0.2)
    for seed in range(10):
        torch.manual_seed(seed)
        chosen = choose(read, boxes, owner, torch.ones(1, 1), how)
        assert (chosen.place.tolist(), chosen.label.tolist()) == ([0, 13, 14], [1, 0, 0])
