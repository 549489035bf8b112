"""Label maps ranked by their fit, against IoU by hand."""

import numpy as np
import pytest

from weakseg.plots import choose_maps


class Pictures:
    """Three true label maps, as a set of pictures has them."""

    names = ("a", "b", "c")
    maps = (np.array([[0, 0, 1, 1]]), np.array([[0, 2, 1, 255]]), np.array([[255, 255, 255, 255]]))

    def semantic(self, index):
        return self.maps[index]


def test_map_iou_by_hand():
    truth = np.array([[0, 0, 1, 1, 255]])
    assert choose_maps.map_iou(np.array([[0, 1, 1, 1, 1]]), truth) == pytest.approx(100 * (1 / 2 + 2 / 3) / 2)
    assert choose_maps.map_iou(np.array([[0, 0, 255, 1, 0]]), truth) == pytest.approx(100 * (1 + 1 / 2) / 2)
    assert choose_maps.map_iou(truth, np.full_like(truth, 255)) == 0


def test_quality_ranks_pictures_with_enough_classes():
    truth = dict(zip(Pictures.names, Pictures.maps, strict=True))
    assert choose_maps.map_quality(Pictures(), truth.get) == {"a": 100, "b": 100}
    assert choose_maps.map_quality(Pictures(), truth.get, least_classes=2) == {"b": 100}
