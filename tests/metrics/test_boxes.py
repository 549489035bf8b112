"""Detection AP and CorLoc against hand-worked values and slow loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.metrics import boxes, resample
from weakseg.metrics.overlap import box_iou

C = 3
QUICK = settings(max_examples=40, deadline=None)


def slow_iou(a, b):
    """Count the unit cells of two integer boxes."""
    cells = [{(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])} for box in (a, b)]
    union = len(cells[0] | cells[1])
    return len(cells[0] & cells[1]) / union if union else 0.0


def slow_ap(pictures, threshold):
    result = []
    for c in range(C):
        ranked, positives = [], 0
        for _, (predicted, labels, scores), (truths, truth_labels, difficult) in pictures:
            targets = [g for g in range(len(truths)) if truth_labels[g] == c]
            positives += sum(not difficult[g] for g in targets)
            used = set()
            for d in sorted((d for d in range(len(predicted)) if labels[d] == c), key=lambda d: -scores[d]):
                overlaps = [slow_iou(predicted[d], truths[g]) for g in targets]
                best = int(np.argmax(overlaps)) if targets else -1
                if best < 0 or overlaps[best] < threshold:
                    ranked.append((scores[d], False))
                elif not difficult[targets[best]]:
                    ranked.append((scores[d], targets[best] not in used))
                    used.add(targets[best])
        ranked.sort(key=lambda pair: -pair[0])
        precision, found, area = [], 0, 0.0
        for rank, (_, right) in enumerate(ranked, start=1):
            found += right
            precision.append(found / rank)
        for rank, (_, right) in enumerate(ranked):
            area += right * max(precision[rank:])
        result.append(area / positives if positives else float("nan"))
    return np.array(result)


@st.composite
def picture_sets(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def some_boxes(n):
        low = rng.integers(0, 5, (n, 2))
        return np.concatenate([low, low + rng.integers(1, 5, (n, 2))], axis=1)

    pictures = []
    for number in range(draw(st.integers(0, 4))):
        m, n = rng.integers(0, 4), rng.integers(0, 6)
        truths = some_boxes(m)
        predicted = np.where(rng.random((n, 1)) < 0.6, truths[rng.integers(0, m, n)] if m else 0, some_boxes(n))
        truth = (truths, rng.integers(0, C, m), rng.random(m) < 0.3)
        pictures.append((f"p{number}", (predicted, rng.integers(0, C, n), rng.random(n)), truth))
    return pictures


@QUICK
@given(st.integers(0, 2**32 - 1))
def test_box_iou_counts_cells(seed):
    low = np.random.default_rng(seed).integers(0, 6, (2, 4, 2))
    high = low + np.random.default_rng(seed + 1).integers(0, 5, (2, 4, 2))
    a, b = np.concatenate([low, high], axis=2)
    slow = [[slow_iou(one, other) for other in b] for one in a]
    np.testing.assert_allclose(box_iou(a, b), slow, atol=1e-12)


@QUICK
@given(picture_sets())
def test_equals_the_slow_evaluation(pictures):
    evidence = boxes.collect(pictures, C, thresholds=(0.3, 0.5))
    fast = boxes.average_precision(evidence)
    for row, threshold in zip(fast, (0.3, 0.5), strict=True):
        np.testing.assert_allclose(row, slow_ap(pictures, threshold), atol=1e-12)


@QUICK
@given(picture_sets(), st.integers(0, 2**32 - 1))
def test_weights_equal_repeated_pictures(pictures, seed):
    weights = np.random.default_rng(seed).integers(0, 3, len(pictures))
    repeated = [picture for picture, times in zip(pictures, weights, strict=True) for _ in range(times)]
    for points in ("all", 11):
        weighted = boxes.average_precision(boxes.collect(pictures, C), weights, points)
        plain = boxes.average_precision(boxes.collect(repeated, C), points=points)
        np.testing.assert_allclose(weighted, plain, atol=1e-12)
    weighted = boxes.corloc(boxes.collect_corloc(pictures, C), weights)
    np.testing.assert_allclose(weighted, boxes.corloc(boxes.collect_corloc(repeated, C)), atol=1e-12)


def test_difficult_objects_cost_nothing_and_earn_nothing():
    truth = np.array([[0, 0, 4, 4], [10, 10, 14, 14]])
    labels, scores = np.zeros(2, int), np.array([0.9, 0.8])
    picture = ("a", (truth, labels, scores), (truth, labels, np.array([True, False])))
    evidence = boxes.collect([picture], 1)
    assert evidence.truth_count.tolist() == [[1]]
    assert evidence.ignored[:, 0].tolist() == [True, False]
    assert boxes.mean_ap(evidence, 0.5) == 100.0


def test_corloc_golden(tmp_path):
    """Class 0: top box right in one of two pictures; class 1: its only predicted box misses; class 2 never occurs."""
    on, off = [0, 0, 4, 4], [20, 20, 24, 24]
    zero, easy = np.zeros(1, int), np.zeros(1, bool)
    pictures = [
        ("a", (np.array([on, off]), np.zeros(2, int), np.array([0.9, 0.1])), (np.array([on]), zero, easy)),
        ("b", (np.array([on, off]), np.zeros(2, int), np.array([0.1, 0.9])), (np.array([on]), zero, easy)),
        ("c", (np.array([off]), zero + 1, np.ones(1)), (np.array([on]), zero + 1, easy)),
        ("d", (np.zeros((0, 4)), zero[:0], np.zeros(0)), (np.array([on]), zero + 1, easy)),
    ]
    evidence = boxes.collect_corloc(pictures, C)
    assert boxes.corloc(evidence) == pytest.approx([0.5, 0.0, np.nan], nan_ok=True)
    evidence.save(tmp_path / "evidence.npz")
    assert resample.value(resample.load(tmp_path / "evidence.npz"), "CorLoc") == 25.0
    detection = boxes.collect(pictures, C)
    detection.save(tmp_path / "boxes.npz")
    assert resample.value(resample.load(tmp_path / "boxes.npz"), "AP50") == boxes.mean_ap(detection, 0.5)


def test_empty():
    assert np.isnan(boxes.mean_ap(boxes.collect([], C), 0.5))
    assert np.isnan(boxes.mean_corloc(boxes.collect_corloc([], C)))
