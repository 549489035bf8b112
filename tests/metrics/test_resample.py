"""The bootstrap agrees with really redrawing pictures, and is fast enough to use freely."""

import time

import numpy as np
import pytest

from weakseg.metrics import class_agnostic, instance_ap, resample, semantic, tags
from weakseg.metrics.instance_ap import InstanceEvidence


def drawn_evidence(pictures, seed, classes=6, predictions=10, quality=0.4):
    """Evidence of a detector that is right with the given probability."""
    rng = np.random.default_rng(seed)
    count = pictures * predictions
    right = rng.random((count, 1)) < quality
    return InstanceEvidence(
        image=np.repeat(np.arange(pictures), predictions),
        label=rng.integers(0, classes, count),
        score=rng.random(count) + right[:, 0] * 0.3,
        matched=np.concatenate([right, right & (rng.random((count, 1)) < 0.5)], axis=1),
        truth_count=np.full((pictures, classes), 1),
        thresholds=np.array([0.5, 0.7]),
        names=np.array([f"p{i:04d}" for i in range(pictures)]),
    )


def test_bootstrap_is_the_difference_of_weighted_values():
    left, right = drawn_evidence(30, 0), drawn_evidence(30, 1)
    draws = resample.bootstrap(left, right, "AP50", "AP70", "difference", draws=70, seed=5)
    rng = np.random.default_rng(5)
    weights = np.concatenate([rng.multinomial(30, np.full(30, 1 / 30), size=n) for n in (50, 20)])
    one_by_one = [resample.value(left, "AP50", w) - resample.value(right, "AP70", w) for w in weights]
    np.testing.assert_allclose(draws, one_by_one, atol=1e-9)
    again = resample.bootstrap(left, right, "AP50", "AP70", lambda a, b: a - b, draws=70, seed=5)
    np.testing.assert_array_equal(draws, again)


def test_pairing_follows_names_not_places():
    left = drawn_evidence(20, 0)
    order = np.random.default_rng(1).permutation(20)
    place = np.argsort(order)
    moved = InstanceEvidence(
        image=place[left.image],
        label=left.label,
        score=left.score,
        matched=left.matched,
        truth_count=left.truth_count[order],
        thresholds=left.thresholds,
        names=left.names[order],
    )
    draws = resample.bootstrap(left, moved, "AP50", "AP50", draws=20, seed=0)
    np.testing.assert_allclose(draws, 0.0, atol=1e-9)
    assert resample.bootstrap(left, moved, "AP50", "AP50", "ratio", draws=5) == pytest.approx(np.ones(5))


def test_interval_covers_a_known_gap():
    """Two detectors of quality 0.6 and 0.3: the 95 % interval of the difference stays above zero."""
    better, worse = drawn_evidence(100, 0, quality=0.6), drawn_evidence(100, 1, quality=0.3)
    low, high = np.percentile(resample.bootstrap(better, worse, "AP50", "AP50", draws=300), [2.5, 97.5])
    point = resample.value(better, "AP50") - resample.value(worse, "AP50")
    assert 0 < low < point < high


def test_different_kinds_on_the_same_pictures():
    instances = drawn_evidence(10, 0)
    maps = semantic.SemanticEvidence(np.random.default_rng(0).integers(1, 9, (10, 4, 4)), instances.names)
    assert resample.bootstrap(instances, maps, "AP50", "mIoU", draws=7).shape == (7,)


def test_a_thousand_draws_of_400_pictures_take_seconds():
    left, right = drawn_evidence(400, 0), drawn_evidence(400, 1)
    start = time.process_time()
    resample.bootstrap(left, right, "AP50", "AP70", draws=1000)
    assert time.process_time() - start < 10


def test_refusals(tmp_path):
    left, other = drawn_evidence(5, 0), drawn_evidence(6, 0)
    with pytest.raises(ValueError, match="not the same ones"):
        resample.bootstrap(left, other, "AP50", "AP50")
    with pytest.raises(ValueError, match="column 'mIoU' does not come from evidence of kind 'instances'"):
        resample.value(left, "mIoU")
    with pytest.raises(ValueError, match="IoU 0.25 was not collected"):
        resample.value(left, "AP25")
    np.savez(tmp_path / "other.npz", x=np.zeros(1))
    with pytest.raises(ValueError, match="evidence kind None is unknown"):
        resample.load(tmp_path / "other.npz")
    left.save(tmp_path / "left.npz")
    with pytest.raises(ValueError, match="holds evidence of kind 'instances', wanted 'tags'"):
        tags.TagEvidence.load(tmp_path / "left.npz")
    assert instance_ap.mean_ap(resample.load(tmp_path / "left.npz"), 0.5) == resample.value(left, "AP50")


def test_salient_instances_and_counts_are_evidence_as_any_other(tmp_path):
    names = np.array(["a", "b", "c"])
    class_agnostic.CountEvidence(np.array([1, 2, 5]), np.array([1, 2, 3]), names).save(tmp_path / "counts.npz")
    counted = resample.load(tmp_path / "counts.npz")
    assert resample.value(counted, "counts") == pytest.approx(200 / 3)
    ap = np.array([[0.5, 0.0], [1.0, 0.5], [np.nan, np.nan]])
    class_agnostic.PictureEvidence(ap, ap, np.array([0.5, 0.7]), names).save(tmp_path / "pictures.npz")
    own = resample.load(tmp_path / "pictures.npz")
    assert (resample.value(own, "AP50"), resample.value(own, "AP70")) == (75, 25)
    drawn = resample.resampled([counted, counted], ["counts", "counts"], 20)
    assert drawn.shape == (20, 2) and (drawn[:, 0] == drawn[:, 1]).all() and 0 <= drawn.min() and drawn.max() <= 100
