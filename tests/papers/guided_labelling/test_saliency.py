"""Saliency: boxes in, masks nowhere, targets by GrabCut, and the stages on drawn pictures."""

import cv2
import numpy as np
import pytest
import torch

from weakseg.data.msra import MsraSet
from weakseg.data.saliency import open_duts
from weakseg.data.sets import open_set
from weakseg.metrics.overlap import mask_iou
from weakseg.nets.deeplab import DeeplabParams
from weakseg.nets.final import Optimisation
from weakseg.papers.guided_labelling import saliency
from weakseg.papers.guided_labelling.saliency import SaliencyParams
from weakseg.study.artifacts import load_labels, load_maps

SMALL = SaliencyParams(
    net=DeeplabParams(backbone="tiny", rates=(1, 2), crop=64, training=Optimisation(steps=4, batch_size=4)), side=None
)


def test_the_average_of_the_annotators_is_the_box(drawn):
    _, pictures, _ = drawn
    boxed = saliency.boxed_pictures(pictures.path, "msra")
    annotated = MsraSet(pictures.path)
    assert boxed.names == tuple(annotated.names) and len(boxed.names) == 6
    np.testing.assert_allclose(boxed.box(2), annotated.boxes(2).mean(0))


def test_boxes_from_masks_hide_the_masks(tmp_path):
    for folder in ("images", "ground_truth_mask"):
        (tmp_path / "ECSSD" / folder).mkdir(parents=True)
    mask = np.zeros((20, 30), np.uint8)
    mask[5:9, 10:25], mask[9:12, 12] = 255, 255
    cv2.imwrite(str(tmp_path / "ECSSD" / "images" / "1.jpg"), np.full((20, 30, 3), 90, np.uint8))
    cv2.imwrite(str(tmp_path / "ECSSD" / "ground_truth_mask" / "1.png"), mask)
    boxed = saliency.boxed_pictures(tmp_path, "ecssd")
    assert boxed.box(0) == (10, 5, 25, 12)
    assert not hasattr(boxed, "mask")


def test_a_set_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="MSRA-B"):
        saliency.boxed_pictures(tmp_path, "msra")


def test_foreground_iou_by_hand():
    """Truth: 3 object pixels, 1 void; salient: 2 of the objects, the void and 1 of the ground: 2 / 4."""
    truth = np.array([[1, 1, 2, 255, 0, 0]], np.uint8)
    salient = np.array([[1, 1, 0, 1, 1, 0]], bool)
    assert saliency.foreground_iou(salient, truth) == 0.5
    assert saliency.foreground_iou(np.zeros((1, 2), bool), np.zeros((1, 2), np.uint8)) == 0


@pytest.mark.filterwarnings("error")
def test_a_picture_without_any_saliency_has_none():
    """Background 200 over foreground: a probability below the smallest float, 0 everywhere."""

    def ground_alone(pictures):
        return torch.tensor([200.0, 0.0])[:, None, None].expand(len(pictures), 2, *pictures.shape[2:])

    (found,) = saliency.foreground_maps(ground_alone, lambda _: np.zeros((8, 8, 3), np.uint8), [0], SMALL)
    assert found[0] == 0 and not found[1].any()


@pytest.mark.parametrize("side", [None, 48])
def test_stages_on_drawn_pictures(drawn, side):
    store, pictures, data = drawn
    params = SMALL.model_copy(update={"side": side})
    targets = store(saliency.cut_targets, pictures=pictures, source="msra", iterations=5)
    truth = open_duts(pictures.path)
    overlap = []
    for name in MsraSet(pictures.path).names:
        target = load_labels(targets / "semantic", name)
        assert set(np.unique(target)) <= {0, 1}
        overlap.append(mask_iou(target[None] > 0, truth.mask(truth.names.index(name))[None])[0, 0])
    assert np.median(overlap) > 0.5
    model = store(saliency.train_saliency, pictures=pictures, targets=targets, saliency=params, seed=0)
    found = store(saliency.find_salient, model=model, pictures=pictures, data=data, split="val", saliency=params)
    view = open_set(pictures, data, "val")
    for index, name in enumerate(view.names):
        each = saliency.read_saliency(found, name)
        assert each.shape == view.image(index).shape[:2]
        assert each.max() == 1 and each.min() >= 0
        assert load_maps(found / "saliency", name)["saliency"].dtype == np.uint8
