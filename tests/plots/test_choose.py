"""Pictures are chosen by their numbers."""

import numpy as np
import pytest

from weakseg.plots import choose
from weakseg.study.artifacts import save_instances


def square(y, x, side=4):
    mask = np.zeros((10, 12), bool)
    mask[y : y + side, x : x + side] = True
    return mask


class Pictures:
    """Three pictures: a pair of one class, a single instance, and one without instance masks."""

    names = ["pair", "single", "unmarked"]

    def has_instances(self, index):
        return index < 2

    def instances(self, index):
        masks = [[square(0, 0), square(5, 6)], [square(2, 2)]][index]
        return np.stack(masks), np.zeros(len(masks), int)


def test_quality_is_the_mean_best_overlap_of_the_right_class(tmp_path):
    two = np.stack([square(0, 0), square(5, 6), square(5, 6)])
    save_instances(tmp_path, "pair", two, np.array([0, 1, 0]), np.array([0.9, 0.8, 0.0]))
    save_instances(tmp_path, "single", square(2, 4)[None], np.array([0]), np.array([0.5]))
    # pair: the first is found, of the second one guess has the wrong class, the other scores 0; single: 8 of 24 pixels
    assert choose.quality(Pictures(), tmp_path) == pytest.approx({"pair": 50.0, "single": 100 / 3})
    assert list(choose.quality(Pictures(), tmp_path, crowded=True)) == ["pair"]


def test_only_what_is_drawn_counts(tmp_path):
    """The first instance is found with 0.9, the second with 0.4 only: not drawn, so it counts as missed."""
    two = np.stack([square(0, 0), square(5, 6)])
    save_instances(tmp_path, "pair", two, np.array([0, 0]), np.array([0.9, 0.4]))
    save_instances(tmp_path, "single", np.zeros((0, 10, 12), bool), np.zeros(0, int), np.zeros(0))
    assert choose.quality(Pictures(), tmp_path) == {"pair": 100.0, "single": 0.0}
    assert choose.quality(Pictures(), tmp_path, drawn=choose.strongest) == {"pair": 50.0, "single": 0.0}


def test_the_strongest_are_few_and_near_the_best():
    assert choose.strongest(np.array([0.8, 0.5, 0.4, 0.39, 0.1])).tolist() == [0, 1, 2]
    assert choose.strongest(np.full(9, 0.7)).tolist() == [0, 1, 2, 3, 4, 5]
    assert choose.strongest(np.zeros(0)).tolist() == []


def test_a_picture_without_predictions_has_quality_zero():
    nothing = np.zeros((0, 10, 12), bool), np.zeros(0, int), np.zeros(0)
    assert choose.best_overlaps(nothing, Pictures().instances(0)).tolist() == [0, 0]


def test_cases_are_chosen_by_rank_and_ties_by_name():
    quality = {"b": 50.0, "a": 50.0, "c": 90.0, "d": 10.0, "e": 70.0}
    chosen = choose.cases(quality)
    assert list(chosen.values()) == ["c", "e", "b", "a", "d"]
    assert list(chosen)[0] == "best\nIoU 90" and list(chosen)[-1] == "worst\nIoU 10"


def test_cases_of_one_picture_and_of_none():
    assert list(choose.cases({"a": 3.0}, shares=(1.0,)).values()) == ["a"]
    with pytest.raises(ValueError, match="no picture"):
        choose.cases({})
