"""Boxes: whole pixels, jitter by hand and by chance, and every bad one named."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.data.voc import Box
from weakseg.papers.boxcaseg.boxes import crowded, jittered, usable_boxes, whole_box


def view(*boxes, size=(40, 60)):
    """Pictures p0, p1, ... of (height, width), each with a list of boxes; None stands for a lost annotation."""

    def read(index):
        if boxes[index] is None:
            raise FileNotFoundError("no xml")
        return boxes[index]

    names = tuple(f"p{k}" for k in range(len(boxes)))
    return SimpleNamespace(names=names, boxes=read, image=lambda i: np.zeros((*size, 3), np.uint8))


def test_whole_boxes_are_cut_towards_zero_and_keep_a_pixel():
    assert whole_box((1.9, 2.2, 10.9, 3.1), 40, 60) == (1, 2, 10, 3)
    assert whole_box((5.2, 5.2, 5.9, 5.9), 40, 60) == (5, 5, 6, 6)
    assert whole_box((-3, -0.5, 99, 7), 40, 60) == (0, 0, 60, 7)


@pytest.mark.parametrize(
    "box, said",
    [
        ((3, 4, 3, 9), "box 3,4,3,9 has no area"),
        ((3, 9, 5, 4), "has no area"),
        ((60, 0, 70, 9), "lies outside the picture of 60x40 pixels"),
        ((-9, 0, 0, 9), "lies outside"),
        ((0, 40, 9, 50), "lies outside"),
    ],
)
def test_impossible_boxes(box, said):
    with pytest.raises(ValueError, match=said):
        whole_box(box, 40, 60)


def test_bad_boxes_are_named_and_skipped(capsys):
    good, empty, outside = Box(1, 2, 3, 20, 30), Box(0, 5, 5, 5, 9), Box(2, 70, 5, 90, 9)
    found = usable_boxes(view([good, empty], [outside, good], [], None), "trainaug")
    assert [boxes.corners.tolist() for boxes in found] == [[[2, 3, 20, 30]], [[2, 3, 20, 30]], [], []]
    assert [boxes.labels.tolist() for boxes in found] == [[1], [1], [], []]
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "boxes of trainaug: p0: box 5,5,5,9 has no area; skipped",
        "boxes of trainaug: p1: box 70,5,90,9 lies outside the picture of 60x40 pixels; skipped",
        "boxes of trainaug: p2: no box; skipped",
        "boxes of trainaug: p3: no annotation; skipped",
    ]


def test_much_trouble_is_summed_up(capsys):
    usable_boxes(view(*[[]] * 9, [Box(0, 1, 1, 5, 5)]), "val")
    assert capsys.readouterr().out.splitlines()[-1] == "boxes of val: 4 more such lines; skipped"


def test_no_usable_box_at_all_is_refused():
    with pytest.raises(ValueError, match="split val: no picture has a box to learn from .p0: no box; p1: no annot"):
        usable_boxes(view([], None), "val")


def test_crowded_boxes():
    """The first two share 8 of 12 columns (IoU 2/3), the third touches nobody."""
    corners = np.array([[0, 0, 10, 5], [2, 0, 12, 5], [30, 0, 40, 5]])
    assert crowded(corners).tolist() == [True, True, False]
    assert crowded(corners[:0]).tolist() == []


def fixed(*values):
    """A generator whose uniform() gives these pairs in turn."""
    pairs = iter(values)
    return SimpleNamespace(uniform=lambda low, high, count: np.array(next(pairs)))


def test_jitter_by_hand():
    """Box 20..40 x 10..20: half sides 10 and 5; moved by 0.2 half sides right and up; 1.5 times wider, half as high."""
    assert jittered((20, 10, 40, 20), (100, 100), fixed((0.2, -0.2), (1.5, 0.5))) == (17, 11, 47, 16)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 59), st.integers(0, 39), st.integers(1, 60), st.integers(1, 40), st.integers(0, 10**6))
def test_jitter_stays_near_and_inside(x, y, width, height, seed):
    box = (x, y, min(60, x + width), min(40, y + height))
    x0, y0, x1, y1 = jittered(box, (40, 60), np.random.default_rng(seed))
    assert 0 <= x0 < x1 <= 60 and 0 <= y0 < y1 <= 40
    centre, half = (box[0] + box[2]) / 2, (box[2] - box[0]) / 2
    assert x0 >= centre - 1.75 * half - 1 and x1 <= centre + 1.75 * half + 1
