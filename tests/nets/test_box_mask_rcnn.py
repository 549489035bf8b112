"""The mask loss that ignores: torchvision's own when nothing is dropped, exactly the others' when something is."""

import numpy as np
import pytest
import torch
from torchvision.models.detection.roi_heads import maskrcnn_loss

from weakseg.nets.box_mask_rcnn import (
    INSIDE,
    OBJECT,
    UNKNOWN,
    IgnoringHeads,
    box_maps,
    boxes_in_rois,
    fit_on_boxes,
    with_heads,
)
from weakseg.nets.final import InstanceSet, Optimisation, boxes_of, collate_instances
from weakseg.nets.mask_rcnn import MaskRcnnParams, build_mask_rcnn, detection_losses, predict_mask_rcnn
from weakseg.ops.bags import filled_boxes
from weakseg.study.artifacts import load_instances
from weakseg.study.stages import Artifact

TINY = MaskRcnnParams(
    backbone="tiny", strides=(4, 8), anchors=(16, 24), pyramid_channels=16, mask_channels=(16,), box_features=32,
    proposals_before_nms=60, proposals=40, training=Optimisation(steps=2, batch_size=4),
)  # fmt: skip


def maps_of(scene, known=None):
    """Box maps and labels of a scene (picture, masks, labels) with the tight boxes of its masks."""
    _, masks, labels = scene
    flags = None if known is None else np.array(known)
    return box_maps(boxes_of(masks).astype(int), masks.shape[1:], masks, flags), labels


def batch_of(scenes, maps=None):
    """A batch of scenes with their masks, or with box maps in their place."""
    given = maps or [scene[1:] for scene in scenes]
    pictures = InstanceSet([f"p{k}" for k in range(len(scenes))], lambda i: scenes[i][0], lambda i: given[i], 0, False)
    return collate_instances([pictures[(i, 0)] for i in range(len(scenes))])


def losses_of(model, batch, seed=5):
    torch.manual_seed(seed)  # the choice of RoIs is random
    return detection_losses(model.train(), batch)


@pytest.fixture
def pair():
    """An ordinary network, and one with the same weights whose heads ignore."""
    torch.manual_seed(0)
    plain, ours = build_mask_rcnn(TINY, 2), with_heads(build_mask_rcnn(TINY, 2), IgnoringHeads)
    ours.load_state_dict(plain.state_dict())
    return plain, ours


def test_box_maps_by_hand():
    masks = np.zeros((2, 3, 4), bool)
    masks[0, 1, 1] = True
    found = box_maps(np.array([[1, 0, 3, 2], [3, 2, 4, 3]]), (3, 4), masks, np.array([True, False]))
    assert found.dtype == np.uint8 and found[0].tolist() == [[0, 1, 1, 0], [0, 3, 1, 0], [0, 0, 0, 0]]
    assert found[1].tolist() == [[0] * 4, [0] * 4, [0, 0, 0, 5]] and (INSIDE, OBJECT, UNKNOWN) == (1, 2, 4)
    assert boxes_of(found).tolist() == [[1, 0, 3, 2], [3, 2, 4, 3]]
    plain = box_maps(np.array([[1, 0, 3, 2]]), (3, 4))
    assert boxes_of(plain).tolist() == [[1, 0, 3, 2]] and plain.max() == INSIDE
    assert box_maps(np.zeros((0, 4), int), (3, 4)).shape == (0, 3, 4)


def test_nothing_dropped_is_torchvisions_own_loss(pair, scenes):
    plain, ours = pair
    theirs = losses_of(plain, batch_of(scenes))
    found = losses_of(ours, batch_of(scenes, [maps_of(scene) for scene in scenes]))
    assert set(found) == set(theirs)
    for name, value in theirs.items():
        assert torch.equal(found[name], value), name
    theirs["loss"].backward()
    found["loss"].backward()
    for (name, one), other in zip(plain.named_parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, msg=name)


def test_the_mask_loss_ignores_exactly_the_dropped_objects(pair, scenes):
    """Dropped: the second object of the first picture, all of the third. The rest by torchvision's function alone."""
    _, ours = pair
    known = [[True, False], [True, True], [False, False], [True, True]]
    batch = batch_of(scenes, [maps_of(*each) for each in zip(scenes, known, strict=True)])
    seen = {}
    loss = ours.roi_heads.mask_loss
    ours.roi_heads.mask_loss = lambda *given: seen.setdefault("given", given) and loss(*given)
    found = losses_of(ours, batch)
    _, rois, matched, targets = seen["given"]
    assert [set(m.tolist()) <= {k for k in range(2) if known[p][k]} for p, m in enumerate(matched)] == [True] * 4
    rois_all, matched_all, labels, _ = ours.roi_heads.chosen
    for p in range(4):
        positive = labels[p] > 0
        wanted = [k for k in matched_all[p][positive].tolist() if known[p][k]]
        assert matched[p].tolist() == wanted and len(rois[p]) == len(wanted)
    assert sum(map(len, rois)) < sum(int((label > 0).sum()) for label in labels)
    masks = [torch.from_numpy(scene[1].astype(np.uint8)) for scene in scenes]
    by_hand = maskrcnn_loss(seen["given"][0], rois, masks, [t["labels"] for t in targets], matched)
    assert torch.equal(found["loss_mask"], by_hand)


def test_dropping_changes_no_other_loss(pair, scenes):
    _, ours = pair
    all_, few = (
        losses_of(ours, batch_of(scenes, [maps_of(s, flags) for s in scenes])) for flags in ([True] * 2, [True, False])
    )
    same = {name for name in all_ if torch.equal(all_[name], few[name])}
    assert same == set(all_) - {"loss", "loss_mask"}


def test_what_is_drawn_in_a_dropped_mask_does_not_matter(pair, scenes):
    _, ours = pair
    blank = [(s[0], np.stack([s[1][0], s[1][1] & False]), s[2]) for s in scenes]
    boxes = [boxes_of(s[1]).astype(int) for s in scenes]
    found = []
    for source in (scenes, blank):
        given = [
            (box_maps(b, s[1].shape[1:], s[1], np.array([True, False])), s[2])
            for b, s in zip(boxes, source, strict=True)
        ]
        found.append(losses_of(ours, batch_of(scenes, given)))
    assert torch.equal(found[0]["loss"], found[1]["loss"])


def test_when_every_mask_is_dropped_the_graph_stays(pair, scenes):
    _, ours = pair
    losses = losses_of(ours, batch_of(scenes, [maps_of(scene, [False, False]) for scene in scenes]))
    losses["loss"].backward()
    assert losses["loss_mask"] == 0
    heads = [*ours.roi_heads.mask_head.parameters(), *ours.roi_heads.mask_predictor.parameters()]
    assert all(p.grad is not None and not p.grad.any() for p in heads)


def test_pictures_without_objects(pair, scenes):
    _, ours = pair
    bare = (scenes[0][0], scenes[0][1][:0], scenes[0][2][:0])
    losses = losses_of(ours, batch_of([bare, scenes[1]], [maps_of(bare), maps_of(scenes[1])]))
    assert losses["loss"].isfinite() and losses["loss_mask"] > 0


def test_boxes_in_cells_by_hand():
    """RoI 10..30 x 0..20 in 4 cells a side of 5 pixels: the box 14..26 x 5..40 touches columns 0 to 3, rows 1 on."""
    rois, boxes = [torch.tensor([[10.0, 0, 30, 20]])], [torch.tensor([[0.0, 0, 1, 1], [14, 5, 26, 40]])]
    found = boxes_in_rois(rois, [torch.tensor([1])], boxes, 4)
    assert found.tolist() == [[0, 1, 4, 8]]
    assert filled_boxes(found, 4, 4)[0].int().tolist() == [[0] * 4, [1] * 4, [1] * 4, [1] * 4]


def test_trained_weights_predict_as_an_ordinary_network(drawn, tmp_path):
    _, pictures, data = drawn
    square = box_maps(np.array([[8, 8, 40, 40]]), (64, 64), np.ones((1, 64, 64), bool))
    given = {"pictures": pictures, "data": data, "mask_rcnn": TINY}
    fit_on_boxes(tmp_path, IgnoringHeads, lambda i: (square, np.array([0])), **given, init=None, weights=None,
                 split="trainaug", seed=0, title="test")  # fmt: skip
    predict_mask_rcnn(tmp_path / "found", model=Artifact(tmp_path, ""), **given, split="val")
    assert load_instances(tmp_path / "found/instances", "2012_400000")[0].shape[1:] == (64, 64)
