"""Examples of the saliency net: boxes as masks, overlap by hand, and that they show what the stages made."""

import numpy as np

from weakseg.papers.guided_labelling import examples


def test_a_box_is_half_open_and_rounded():
    mask = examples.box_mask((1.4, 0.0, 3.0, 1.6), (3, 4))
    assert mask.tolist() == [[False, True, True, False]] * 2 + [[False] * 4]
    assert examples.box_mask((-2.0, -1.0, 9.0, 9.0), (2, 2)).all()


def test_overlap_by_hand():
    first, second = np.array([True, True, False]), np.array([False, True, True])
    assert examples.overlap(first, second) == 1 / 3
    assert examples.overlap(first & False, second & False) == 0
