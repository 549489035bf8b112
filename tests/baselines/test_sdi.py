"""SDI: agreement, fallbacks, painting, and the stage on drawn pictures."""

import numpy as np
import pytest

from weakseg.baselines import sdi
from weakseg.baselines.sdi import SdiParams
from weakseg.data.sets import open_set
from weakseg.data.voc import VocSet
from weakseg.metrics import abo
from weakseg.metrics.overlap import mask_iou
from weakseg.nets.final import boxes_of
from weakseg.ops.proposals import ProposalParams
from weakseg.study.artifacts import load_instances, load_labels

BOX = (20.0, 24.0, 53.0, 57.0)


def scene():
    """A disc of radius 15 at (40, 36), which GrabCut finds; and the disc's left half as a mask."""
    y, x = np.mgrid[:80, :80]
    disc = (y - 40) ** 2 + (x - 36) ** 2 < 15**2
    picture = np.where(disc[..., None], (200, 80, 60), (60, 120, 90)).astype(float)
    picture = np.clip(picture + np.random.default_rng(0).normal(0, 5, picture.shape), 0, 255).astype(np.uint8)
    return picture, disc


def agreed(image, box, proposals, params):
    return sdi.agreed_mask(image, box, proposals, boxes_of(proposals), params)


def test_agreement_and_doubt():
    """The proposal misses the disc's right quarter and adds nothing else: that quarter is in doubt."""
    picture, disc = scene()
    part = disc.copy()
    part[:, 44:] = False
    mask, doubt = agreed(picture, BOX, part[None], SdiParams())
    assert mask_iou(mask[None], part[None])[0, 0] > 0.95
    assert mask_iou(doubt[None], (disc & ~part)[None])[0, 0] > 0.85
    assert not (mask & doubt).any()


def test_the_proposal_with_the_best_fitting_box_votes():
    picture, disc = scene()
    small = np.zeros_like(disc)
    small[30:40, 30:40] = True
    mask, _ = agreed(picture, BOX, np.stack([small, disc]), SdiParams())
    assert mask_iou(mask[None], disc[None])[0, 0] > 0.9


def test_no_fitting_proposal_leaves_grabcut_alone():
    picture, disc = scene()
    far = np.zeros_like(disc)
    far[:10, :10] = True
    for proposals in (far[None], far[:0].reshape(0, 80, 80), np.zeros((1, 80, 80), bool)):
        mask, doubt = agreed(picture, BOX, proposals, SdiParams())
        assert mask_iou(mask[None], disc[None])[0, 0] > 0.9
        assert not doubt.any()


def test_a_segment_that_is_too_small_is_given_up():
    """A thin cross with the box's extent agrees on few pixels: GrabCut decides; when that is too little, the box."""
    picture, disc = scene()
    cross = np.zeros_like(disc)
    cross[40, 20:53] = cross[24:57, 36] = True
    mask, doubt = agreed(picture, BOX, cross[None], SdiParams(smallest=0.25))
    assert mask_iou(mask[None], disc[None])[0, 0] > 0.9 and not doubt.any()
    mask, _ = agreed(picture, BOX, cross[None], SdiParams(smallest=0.9))
    assert mask.sum() == 33 * 33


def test_paint_puts_small_boxes_on_top():
    masks, doubts = np.zeros((2, 1, 6), bool), np.zeros((2, 1, 6), bool)
    masks[0, 0, 2:4], masks[1, 0, :5], doubts[0, 0, 4], doubts[1, 0, 5] = True, True, True, True
    label_map = sdi.paint(masks, doubts, np.array([0, 1]), sizes=np.array([3, 6]))
    assert label_map.tolist() == [[2, 2, 1, 1, 255, 255]]


def test_the_stage_on_drawn_pictures(drawn):
    store, pictures, data = drawn
    params = SdiParams(proposals=ProposalParams(smallest=10))
    artifact = sdi.pseudo_labels(store, pictures=pictures, data=data, sdi=params)
    truth = open_set(pictures, data, "trainaug")

    def pairs():
        for index, name in enumerate(truth.names):
            found = load_instances(artifact / "instances", name)
            assert found[1].tolist() == [box.label for box in truth.objects(index)]
            label_map = load_labels(artifact / "semantic", name)
            assert set(np.unique(label_map)) <= {0, 255, *(found[1] + 1).tolist()}
            yield name, found, truth.instances(index)

    assert abo.mean_best_overlap(abo.collect(pairs(), len(truth.classes))) > 60


def test_a_box_outside_the_picture_names_the_trouble():
    with pytest.raises(ValueError, match="holds no pixel"):
        agreed(scene()[0], (90, 90, 99, 99), np.zeros((0, 80, 80), bool), SdiParams())


def test_no_mask_is_opened(drawn, blind):
    _, pictures, data = drawn
    with pytest.raises(AssertionError, match="opened Segmentation"):
        open_set(pictures, data, "trainaug").instances(0)
    sdi.pseudo_labels(blind, pictures=pictures, data=data, sdi=SdiParams())


def test_a_picture_without_annotation_stays_unlabelled(drawn, blind, monkeypatch, capsys):
    _, pictures, data = drawn
    view = open_set(pictures, data, "trainaug")
    lost = view.names[0]
    real = VocSet.annotation_path
    monkeypatch.setattr(
        VocSet,
        "annotation_path",
        lambda self, i: real(self, i).with_suffix(".gone") if self.names[i] == lost else real(self, i),
    )
    artifact = sdi.pseudo_labels(blind, pictures=pictures, data=data, sdi=SdiParams())
    assert (load_labels(artifact / "semantic", lost) == 255).all()
    assert len(load_instances(artifact / "instances", lost)[1]) == 0
    assert len(load_instances(artifact / "instances", view.names[1])[1]) > 0
    assert "1 of 12 pictures have no annotation" in capsys.readouterr().out
    monkeypatch.setattr(VocSet, "annotation_path", lambda self, i: real(self, i).with_suffix(".gone"))
    with pytest.raises(FileNotFoundError, match="no picture of val has an annotation"):
        sdi.pseudo_labels(blind, pictures=pictures, data=data, sdi=SdiParams(), split="val")
