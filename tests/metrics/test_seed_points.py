"""The numbers that tables print of seeds, against counts made by hand."""

import numpy as np
import pytest

from weakseg.metrics import resample, seeds
from weakseg.metrics.seeds import SeedEvidence

C = 2


def sweep() -> SeedEvidence:
    """Object pixels at .9 .7 .5 .3 and background pixels at .8 and five times .1."""
    truth = np.array([[1, 1, 1, 1, 0, 0, 0, 0, 0, 0]])
    confidence = np.array([[0.9, 0.7, 0.5, 0.3, 0.8, 0.1, 0.1, 0.1, 0.1, 0.1]])
    return seeds.collect([("a", np.ones_like(truth), confidence, truth)], C)


def labels(*pictures: tuple[list[int], list[int], list[int]]) -> SeedEvidence:
    """One threshold: pixels of each label that are right, claimed and true, for each picture."""
    right, claimed, truth = (np.array(part) for part in zip(*pictures, strict=True))
    names = np.array([f"p{i}" for i in range(len(pictures))])
    return SeedEvidence(right[:, None], claimed[:, None], truth, np.zeros(1), names)


def test_precision_at_a_recall_is_read_at_the_lowest_recall_above_it():
    # foreground recall 1/4 from threshold .71 to .9; the first of them has two seeds, one of them right
    assert resample.value(sweep(), "FgP20") == 50
    # background recall 5/6 from .11 to .8; at the first, five of five are right
    assert resample.value(sweep(), "BgP80") == 100
    assert resample.value(sweep(), "mP") == 75


def test_label_maps_by_hand():
    # class 1: 3 of 4 claimed right, 6 true; class 2: 1 of 2 right, 1 true; background: 8 of 10 right, 16 true
    evidence = labels(([8, 3, 1], [10, 4, 2], [16, 6, 1]))
    found = {name: resample.value(evidence, name) for name in ("FgP", "FgR", "BgP", "BgR")}
    assert found == {"FgP": 62.5, "FgR": 75.0, "BgP": 80.0, "BgR": 50.0}


def test_weights_are_repeats():
    one, two = ([8, 3, 1], [10, 4, 2], [16, 6, 1]), ([5, 2, 0], [9, 3, 3], [7, 5, 2])
    weighted = resample.value(labels(one, two), "FgP", np.array([[2.0, 1.0], [0.0, 1.0]]))
    assert weighted == pytest.approx([resample.value(labels(one, one, two), "FgP"), resample.value(labels(two), "FgP")])
    rows = resample.resampled([labels(one, two)] * 2, ["FgP", "BgR"], draws=7, seed=1)
    assert rows.shape == (7, 2) and np.isfinite(rows).all()


def test_a_level_that_is_never_reached_has_no_precision():
    truth = np.zeros((1, 3), int)
    blank = seeds.collect([("a", truth + 1, np.zeros((1, 3)), truth)], C)
    assert np.isnan(resample.value(blank, "FgP20"))


def test_a_sweep_has_no_single_value():
    with pytest.raises(ValueError, match="foreground_precision: this evidence is a sweep of 209 thresholds"):
        resample.value(sweep(), "FgP")
