"""Saliency with contours: strengths, suggestions, selection."""

import numpy as np
import pytest

from weakseg.baselines import c2s_nldf
from weakseg.baselines.c2s_nldf import ContourParams, along_border, contours_of, on_frame, select_proposals
from weakseg.nets.deeplab import DeeplabParams
from weakseg.nets.final import Optimisation
from weakseg.ops.proposals import ProposalParams

TINY = DeeplabParams(backbone="tiny", dilated=False, crop=64, channels=8, training=Optimisation(batch_size=4, epochs=1))
CONTOURS = ContourParams(net=TINY, proposals=ProposalParams(scales=(100.0,)))


def scene():
    image = np.full((64, 64, 3), 60, np.uint8)
    image[10:30, 8:28] = (220, 80, 40)
    image[34:56, 36:58] = (40, 90, 230)
    return image


def test_contours_stand_where_values_change():
    values = np.zeros((8, 8), np.float32)
    values[:, 4:] = 5
    found = contours_of(values)
    assert found[:, 3:5].min() == 1 and not found[:, :3].any() and not found[:, 5:].any()
    assert not contours_of(np.full((4, 4, 3), 7)).any()


def test_border_and_frame_by_hand():
    masks = np.zeros((2, 8, 8), bool)
    masks[0, 2:6, 2:6] = masks[1, :4] = True
    contours = np.zeros((8, 8), np.float32)
    contours[1:7, 1:7] = 1
    contours[3:5, 3:5] = 0
    assert along_border(masks, contours)[0] == pytest.approx(1)
    assert on_frame(masks).tolist() == [0, pytest.approx(14 / 28)]


def test_contours_suggest_an_object_not_the_ground():
    image = scene()
    found = c2s_nldf.suggested_mask(image, CONTOURS.proposals)
    assert found.any() and not found[:, 0].any() and not found[0].any()
    assert not c2s_nldf.suggested_mask(np.full((40, 40, 3), 9, np.uint8), CONTOURS.proposals).any()


def test_two_salient_objects_are_two_proposals():
    image = scene()
    saliency = (image.max(2) > 100).astype(np.float32)[::4, ::4]
    masks, scores = select_proposals(image, saliency, CONTOURS)
    assert len(masks) == len(scores) == 2 and ((scores > 0.5) & (scores <= 1)).all()
    for box in (np.s_[10:30, 8:28], np.s_[34:56, 36:58]):
        truth = np.zeros((64, 64), bool)
        truth[box] = True
        assert max((m & truth).sum() / (m | truth).sum() for m in masks) > 0.8


def test_without_saliency_nothing_is_selected():
    masks, scores = select_proposals(scene(), np.zeros((16, 16), np.float32), CONTOURS)
    assert not len(masks) and not len(scores)
