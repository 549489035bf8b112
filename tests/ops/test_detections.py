"""A label map cut out by detected boxes."""

import numpy as np

from weakseg.ops.detections import cut


def test_a_box_takes_the_pixels_of_its_own_class():
    label_map = np.zeros((4, 6), np.uint8)
    label_map[:, :3] = 1
    label_map[:, 4:] = 2
    masks = cut(label_map, np.array([[1, 1, 5, 3], [1, 1, 5, 3], [3, 0, 4, 4]], np.float32), np.array([0, 1, 0]))
    assert masks.sum((1, 2)).tolist() == [4, 2, 0]
    assert masks[0, 1:3, 1:3].all() and masks[1, 1:3, 4].all()


def test_void_is_no_class():
    assert not cut(np.full((3, 3), 255, np.uint8), np.array([[0, 0, 3, 3]], np.float32), np.array([1])).any()
