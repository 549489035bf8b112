"""Confident areas of attention."""

import numpy as np

from weakseg.ops.confident import RelationParams, relation_map


def test_confident_areas_by_hand():
    image = np.zeros((2, 4, 3), np.uint8)
    cams = np.array([[[0.9, 0.2, 0.1, 0.0], [0.4, 0.31, 0.06, 0.04]]], np.float32)
    found = relation_map(image, cams, np.array([6]), RelationParams(crf=None))
    assert found.tolist() == [[7, 255, 255, 0], [7, 7, 255, 0]]
    assert (relation_map(image, cams[:0], np.zeros(0, int), RelationParams(crf=None)) == 0).all()
