"""COCO AP equals pycocotools, the official evaluation, on random and on degenerate sets."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from weakseg.metrics import coco

C = 3


def official(pictures):
    dataset, results = coco.coco_dicts(pictures, C)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = dataset
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.where(evaluation.stats < 0, np.nan, 100 * evaluation.stats)


def blobs(rng, n, side):
    """Filled ellipses of all COCO size ranges."""
    y, x = np.mgrid[:side, :side]
    centre, radius = rng.uniform(0, side, (n, 2, 1, 1)), rng.uniform(4, side / 2, (n, 2, 1, 1))
    return ((y - centre[:, 0]) / radius[:, 0]) ** 2 + ((x - centre[:, 1]) / radius[:, 1]) ** 2 < 1


def drawn_pictures(seed, count=6, side=160):
    rng = np.random.default_rng(seed)
    pictures = []
    for number in range(count):
        m, n = rng.integers(0, 4), rng.integers(0, 8)
        truths = blobs(rng, m, side)
        masks = blobs(rng, n, side)
        for d in np.flatnonzero(rng.random(n) < 0.7 * (m > 0)):
            masks[d] = np.roll(truths[rng.integers(0, m)], rng.integers(-6, 7, 2), (0, 1))
        predicted = (masks, rng.integers(0, C, n), rng.random(n))
        pictures.append((f"p{number}", predicted, (truths, rng.integers(0, C, m))))
    return pictures


@pytest.mark.parametrize("seed", range(5))
def test_equals_pycocotools(seed):
    pictures = drawn_pictures(seed)
    ours = coco.coco_ap(pictures, C)
    np.testing.assert_allclose(list(ours.values()), official(pictures), atol=1e-9)


def test_perfect_nothing_and_no_truth():
    truth, label = np.zeros((1, 64, 64), bool), np.zeros(1, int)
    truth[0, :40, :40] = True
    none = (truth[:0], label[:0], np.zeros(0))
    perfect = coco.coco_ap([("a", (truth, label, np.ones(1)), (truth, label))], C)
    assert perfect["AP"] == pytest.approx(100.0)
    assert np.isnan(perfect["AP_small"])
    assert coco.coco_ap([("a", none, (truth, label))], C)["AP"] == 0.0
    assert np.isnan(coco.coco_ap([("a", (truth, label, np.ones(1)), (truth[:0], label[:0]))], C)["AP"])


def test_order_of_pictures_does_not_matter():
    pictures = drawn_pictures(3)
    assert coco.coco_ap(pictures, C)["AP"] == pytest.approx(coco.coco_ap(pictures[::-1], C)["AP"])
