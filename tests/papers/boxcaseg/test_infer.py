"""From boxes to masks: stretching and pasting by hand, a net that knows the answer, pairing with the truth."""

import numpy as np
import pytest
import torch

from weakseg.papers.boxcaseg.boxes import PictureBoxes
from weakseg.papers.boxcaseg.infer import batched, head_chances, pasted, proxy_masks, stretched
from weakseg.papers.boxcaseg.model import Scores
from weakseg.papers.boxcaseg.samples import SampleParams
from weakseg.papers.boxcaseg.stages import masks_of_truth

HOW = SampleParams(side=32, salient_side=32, test_side=32)


def test_stretching_by_hand():
    chance = torch.tensor([[[0.2, 0.4], [0.3, 0.2]], [[0.5, 0.5], [0.5, 0.5]]])
    assert stretched(chance).tolist() == [[[0, 255], [128, 0]], [[0, 0], [0, 0]]]


def test_pasting_by_hand():
    levels = np.array([[255, 0], [255, 255]], np.uint8)
    found = pasted(levels, np.array([1, 1, 3, 3]), (4, 5))
    assert found.astype(int).tolist() == [[0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0]]
    assert pasted(np.array([[127, 128]], np.uint8), np.array([0, 0, 2, 1]), (1, 2)).tolist() == [[False, True]]


class Brightness(torch.nn.Module):
    """Scores that are the crop's own brightness in the salient head, its negative in the other two."""

    def forward(self, crops):
        bright = torch.nn.functional.avg_pool2d(crops.mean(1, keepdim=True), 4)[:, 0] * 10
        return Scores(-bright, bright, -bright)


@pytest.mark.parametrize("read, right", [(("fused", 1.0, "logits"), True), (("fused", 0.0, "logits"), False),
                                         (("weak", 1.0, "logits"), False)])  # fmt: skip
def test_each_box_gets_the_mask_of_its_own_content(read, right):
    """Two boxes with a bright half each, in pictures of two sizes; the batch runs over the pictures' border."""
    images = [np.zeros((40, 60, 3), np.uint8), np.zeros((30, 30, 3), np.uint8)]
    images[0][10:30, 20:30] = images[1][8:16, 0:16] = 255
    boxes = [
        PictureBoxes(np.array([0]), np.array([[20, 10, 40, 30]])),
        PictureBoxes(np.array([1]), np.array([[0, 0, 16, 16]])),
    ]
    first, second = proxy_masks(Brightness(), images.__getitem__, boxes, HOW, 2, read)
    assert first.shape == (1, 40, 60) and second.shape == (1, 30, 30)
    inside = [(first[0], np.s_[10:30, 20:40]), (second[0], np.s_[0:16, 0:16])]
    for (mask, box), image in zip(inside, images, strict=True):
        wanted = (image[box][..., 0] > 0) == right
        assert (mask[box] == wanted).mean() > 0.9 and mask.sum() == mask[box].sum()


def test_the_heads_of_one_crop():
    crop = torch.zeros(3, 8, 8)
    crop[:, :, 4:] = 1
    found = head_chances(Brightness(), crop, 0.5, "logits")
    assert found["salient"][0, 7] > 0.99 and found["weak"][0, 7] < 0.01 and found["transferred"][0, 7] < 0.01
    assert (found["fused"] == 0.5).all() and found["fused"].shape == (8, 8)


def test_pictures_without_boxes_have_no_masks():
    empty = PictureBoxes(np.zeros(0, int), np.zeros((0, 4), int))
    found = list(
        proxy_masks(Brightness(), lambda i: np.zeros((9, 8, 3), np.uint8), [empty] * 2, HOW, 2, ("weak", 1, "logits"))
    )
    assert [masks.shape for masks in found] == [(0, 9, 8)] * 2


def test_batches_hold_everything_once():
    sizes = [len(batch) for batch in batched(iter(torch.arange(7)), 3)]
    assert sizes == [3, 3, 1] and list(batched(iter(()), 3)) == []


def test_truth_finds_the_mask_of_its_box_in_any_order():
    """Two true squares of class 0 and one of class 1; the annotation lists them in another order, and one box more."""
    truth = np.zeros((3, 8, 12), bool)
    truth[0, 0:4, 0:4] = truth[1, 0:4, 4:8] = truth[2, 4:8, 0:4] = True
    corners = np.array([[4, 0, 8, 4], [0, 4, 4, 8], [0, 0, 5, 4], [8, 4, 12, 8]])
    masks = np.zeros((4, 8, 12), bool)
    for number in range(4):
        masks[number, number] = True  # each mask is a row of its own, whatever its box
    found = masks_of_truth(truth, np.array([0, 0, 1]), masks, np.array([0, 1, 0, 1]), corners)
    assert [each.any(1).nonzero()[0].tolist() for each in found] == [[2], [0], [1]]
    nothing = masks_of_truth(truth, np.array([2, 2, 2]), masks, np.array([0, 1, 0, 1]), corners)
    assert nothing.shape == truth.shape and not nothing.any()
