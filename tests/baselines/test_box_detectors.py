"""BBTP and BoxInst: their losses by hand and by brute force, their warm-up, and the stages without a mask in sight."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from weakseg.baselines import bbtp, boxinst
from weakseg.baselines.bbtp import BagHeads, BbtpParams, detect_chances, refined_mask, window_of
from weakseg.baselines.boxinst import BoxInstHeads, BoxInstParams, neighbours, pair_loss, projection_loss, similarity
from weakseg.baselines.from_boxes import box_reader, chosen_logits, train_and_detect
from weakseg.data.sets import open_set
from weakseg.data.voc import Box, VocSet
from weakseg.nets.box_mask_rcnn import with_heads
from weakseg.nets.final import Optimisation, boxes_of
from weakseg.nets.mask_rcnn import DetectionParams, MaskRcnnParams, build_mask_rcnn, detect
from weakseg.ops.crf import CrfParams
from weakseg.study.artifacts import load_instances

TINY = MaskRcnnParams(
    backbone="tiny", strides=(4, 8), anchors=(16, 24), pyramid_channels=16, mask_channels=(16,), box_features=32,
    proposals_before_nms=60, proposals=40, training=Optimisation(steps=3, batch_size=4, lr=0.01),
    test=DetectionParams(score=0.0),
)  # fmt: skip
LOGIT = math.log(3)  # probability 0.75


def heads(kind, **more):
    return with_heads(build_mask_rcnn(TINY, 2), partial(kind, **more)).roi_heads.train()


def one_roi(logits, roi=(0.0, 0, 4, 4), box=(0.0, 0, 2, 4)):
    """Arguments of mask_loss: one RoI whose object has class 1 of 0..2."""
    maps = torch.zeros(1, 3, *logits.shape)
    maps[0, 1] = logits
    return (
        maps,
        [torch.tensor([roi])],
        [torch.tensor([0])],
        [{"boxes": torch.tensor([box]), "labels": torch.tensor([1])}],
    )


def test_bags_of_a_roi_by_hand():
    """The box covers the left half of the RoI: all four rows and two columns are positive, two columns negative."""
    given = one_roi(torch.full((4, 4), LOGIT))
    bags = (6 * -math.log(0.75) + 2 * -math.log(0.25)) / 8
    smooth = 0.05 * (3 * 16 - 4) * 0.75**2 / (8 * 16)
    assert heads(BagHeads).mask_loss(*given).item() == pytest.approx(bags + smooth, rel=1e-5)


def test_a_roi_within_its_box_has_no_negative_bag():
    low, high = (heads(BagHeads).mask_loss(*one_roi(torch.full((4, 4), x), box=(-9, -9, 9, 9))) for x in (-5.0, 5.0))
    assert high < 0.1 < low


def test_the_logits_of_the_objects_class_are_read():
    maps = torch.arange(2 * 3 * 4.0).view(2, 3, 2, 2)
    targets = [{"labels": torch.tensor([2, 1])}, {"labels": torch.tensor([1])}]
    found = chosen_logits(maps, [torch.tensor([1]), torch.tensor([0])], targets)
    assert torch.equal(found, torch.stack([maps[0, 1], maps[1, 1]]))


def test_a_window_is_the_tight_box_and_a_margin_within_the_picture():
    chance = np.zeros((20, 30), np.float32)
    chance[6:10, 2:10] = 0.1
    assert window_of(chance, 0.0) == np.s_[6:10, 2:10]
    assert window_of(chance, 0.5) == np.s_[4:12, 0:14]
    assert chance[window_of(np.zeros_like(chance), 0.5)].size == 0


def test_the_crf_moves_a_mask_to_the_colours():
    """A red square of which the network finds the left two thirds, and a strip of green beside it."""
    image = np.full((24, 24, 3), (30, 160, 30), np.uint8)
    image[4:20, 4:20] = (200, 30, 30)
    chance = np.full((24, 24), 0.1, np.float32)
    chance[4:20, 2:14] = 0.9
    found = refined_mask(image, chance, CrfParams(bilateral_rgb=13, iterations=5))
    assert np.array_equal(found, image[..., 0] == 200)


def test_the_windows_of_an_untrained_network_hold_its_masks():
    torch.manual_seed(0)
    net, pictures = build_mask_rcnn(TINY, 2).eval(), torch.rand(2, 3, 64, 64)
    for (parts, *words), (masks, *plain) in zip(
        detect_chances(net, pictures, 0.5), detect(net, pictures, 0.5), strict=True
    ):
        laid = np.zeros(masks.shape, np.float32)
        for part, (window, chance) in zip(laid, parts, strict=True):
            part[window] = chance
        assert len(masks) and np.array_equal(laid >= 0.5, masks)
        assert all(np.array_equal(*pair) for pair in zip(words, plain, strict=True))


def test_projection_by_hand():
    """Mask 0.75 in one column of the box's two: on x (0.75, 0.25) against (1, 1), on y 0.75 twice against (1, 1)."""
    logits = torch.tensor([[[LOGIT, -LOGIT], [LOGIT, -LOGIT]]])
    on_x = 1 - 2 * (0.75 + 0.25) / (0.75**2 + 0.25**2 + 2 + 1e-5)
    on_y = 1 - 2 * 1.5 / (2 * 0.75**2 + 2 + 1e-5)
    found = projection_loss(logits, torch.ones(1, 2, 2, dtype=torch.bool))
    assert found.item() == pytest.approx(on_x + on_y, rel=1e-5)
    assert projection_loss(torch.full((1, 2, 2), 30.0), torch.ones(1, 2, 2, dtype=torch.bool)) < 1e-4


def brute_pairs(logits, inside, colours, counts, threshold, dilation):
    """Mean of -log P(same) over the pairs that count, cell by cell."""
    chance, (R, H, W), terms = 1 / (1 + np.exp(-logits)), logits.shape, []
    near = [(y, x) for y in (-dilation, 0, dilation) for x in (-dilation, 0, dilation) if (y, x) != (0, 0)]
    for r, y, x in np.ndindex(R, H, W):
        for dy, dx in near:
            v, u = y + dy, x + dx
            if not (0 <= v < H and 0 <= u < W and inside[r, y, x] and counts[r, y, x] and counts[r, v, u]):
                continue
            if math.exp(-np.linalg.norm(colours[r, :, y, x] - colours[r, :, v, u]) / 2) >= threshold:
                p, q = chance[r, y, x], chance[r, v, u]
                terms.append(-math.log(p * q + (1 - p) * (1 - q)))
    return np.mean(terms)


@pytest.mark.parametrize("dilation", [1, 2])
def test_pairs_against_brute_force(dilation):
    rng = np.random.default_rng(dilation)
    logits, colours = rng.normal(size=(2, 5, 6)), rng.normal(size=(2, 3, 5, 6))
    inside, counts = rng.random((2, 2, 5, 6)) < 0.7
    likeness = similarity(torch.from_numpy(colours), torch.from_numpy(counts), dilation)
    found = pair_loss(torch.from_numpy(logits), torch.from_numpy(inside), likeness, 0.3, dilation)
    assert found.item() == pytest.approx(brute_pairs(logits, inside, colours, counts, 0.3, dilation))


def test_gradients():
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 5, dtype=torch.float64, requires_grad=True)
    inside, likeness = torch.rand(2, 4, 5) > 0.3, torch.rand(2, 8, 4, 5, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: projection_loss(x, inside), logits)
    assert torch.autograd.gradcheck(lambda x: pair_loss(x, inside, likeness, 0.3, 2), logits)


def test_neighbours_by_hand():
    found = neighbours(torch.arange(9.0).view(1, 1, 3, 3), 1)[0, 0, :, 1, 1]
    assert found.tolist() == [0, 1, 2, 3, 5, 6, 7, 8]


def test_no_pair_counts_gives_zero():
    logits = torch.zeros(1, 3, 3, requires_grad=True)
    loss = pair_loss(logits, torch.zeros(1, 3, 3, dtype=torch.bool), torch.ones(1, 8, 3, 3), 0.3, 1)
    loss.backward()
    assert loss == 0


def test_the_pair_loss_comes_in_step_by_step():
    """A plain picture: every pair is alike. The projection loss stays, the pair loss grows to its full weight."""
    net = heads(BoxInstHeads, how=BoxInstParams(warmup=4, bottom_rows=0))
    net.look_at(torch.full((1, 3, 8, 8), 0.5), torch.tensor([[8, 8]]))
    net.shapes = [(8, 8)]
    given = one_roi(torch.linspace(-2, 2, 16).view(4, 4))
    found = [net.mask_loss(*given).item() for _ in range(6)]
    steps = np.diff(found)
    assert steps[:3] == pytest.approx([steps[0]] * 3, rel=1e-3) and steps[0] > 0 and steps[3:] == pytest.approx([0, 0])


def test_colours_are_read_under_the_roi_and_the_bottom_does_not_count():
    net = heads(BoxInstHeads, how=BoxInstParams(bottom_rows=4))
    picture = torch.zeros(1, 3, 16, 16)
    picture[..., 8:] = 1
    net.look_at(picture, torch.tensor([[12, 16]]))  # four rows are padding, four are the bottom
    for shapes, scale in (([(12, 16)], 1), ([(24, 32)], 2)):
        net.shapes = shapes
        colours, counts = net.colours_in([scale * torch.tensor([[0.0, 0, 16, 16]])], 4)
        assert colours[0, 0, 0].tolist() == pytest.approx([0, 0, 100, 100], abs=0.1)
        assert counts[0].int().tolist() == [[1] * 4, [1] * 4, [0] * 4, [0] * 4]


def test_readers_give_boxes_and_name_the_trouble(drawn, monkeypatch):
    _, pictures, data = drawn
    view = open_set(pictures, data, "trainaug")
    maps, labels = box_reader(pictures, data, "trainaug")(0)
    boxes = view.objects(0)
    assert labels.tolist() == [box.label for box in boxes]
    assert boxes_of(maps).tolist() == [[box.x0, box.y0, box.x1, box.y1] for box in boxes]
    monkeypatch.setattr(VocSet, "objects", lambda self, i: [Box(0, 90, 90, 99, 99)])
    with pytest.raises(ValueError, match=f"{view.names[1]}: box .* holds no pixel"):
        box_reader(pictures, data, "trainaug")(1)

    def lost(self, index):
        raise FileNotFoundError("no xml")

    monkeypatch.setattr(VocSet, "objects", lost)
    assert box_reader(pictures, data, "trainaug")(1)[0].shape == (0, 64, 64)


@pytest.mark.parametrize("name", ["bbtp", "boxinst"])
def test_stages_open_no_mask_and_predict(drawn, blind, name):
    _, pictures, data = drawn
    stage, params = {
        "bbtp": (bbtp.train_bbtp, {}),
        "boxinst": (boxinst.train_boxinst, {"boxinst": BoxInstParams(warmup=2)}),
    }[name]
    common = {"pictures": pictures, "init": None, "data": data, "split": "val", "seed": 0}
    found = train_and_detect(blind, stage, TINY, **common, **params)
    sizes = [load_instances(found / "instances", n)[0].shape[1:] for n in open_set(pictures, data, "val").names]
    assert sizes == [(64, 64)] * 4


def test_a_crf_needs_no_other_training_and_keeps_boxes_classes_and_scores(drawn, blind):
    _, pictures, data = drawn
    common = {"pictures": pictures, "init": None, "data": data, "split": "val", "seed": 0}
    plain = train_and_detect(blind, bbtp.train_bbtp, TINY, **common)
    every, none, off = (
        bbtp.refined_instances(blind, TINY, how, **common)
        for how in (BbtpParams(), BbtpParams(score=1.0), BbtpParams(crf=None))
    )
    assert off.key == plain.key and len(list((blind.root / "bbtp.train_bbtp").glob("*/record.json"))) == 1
    changed = 0
    for name in open_set(pictures, data, "val").names:
        masks, *words = load_instances(plain / "instances", name)
        kept, moved = (load_instances(made / "instances", name) for made in (none, every))
        for found in (kept, moved):
            assert all(np.array_equal(*pair) for pair in zip(words, found[1:], strict=True))
        assert np.array_equal(masks, kept[0])
        changed += (masks != moved[0]).sum()
    assert changed > 0
