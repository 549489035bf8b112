"""Instance AP against hand-worked values, an independent slow evaluation, and its invariances."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from weakseg.metrics import instance_ap, resample
from weakseg.metrics.overlap import mask_iou

C, SIDE = 3, 6
QUICK = settings(max_examples=40, deadline=None)


def slow_ap(pictures, classes, threshold, points):
    """Per class: pixel sets, a plain greedy loop, and the precision at every recall, as told in words."""
    result = []
    for c in range(classes):
        ranked, positives = [], 0
        for _, (masks, labels, scores), (truths, truth_labels) in pictures:
            free = {g: {tuple(p) for p in np.argwhere(truths[g])} for g in range(len(truths)) if truth_labels[g] == c}
            targets = dict(free)
            positives += len(free)
            mine = sorted((d for d in range(len(masks)) if labels[d] == c), key=lambda d: -scores[d])
            for d in mine:
                pixels = {tuple(p) for p in np.argwhere(masks[d])}
                best, best_iou = None, -1.0
                for g, other in targets.items():
                    union = len(pixels | other)
                    iou = len(pixels & other) / union if union else 0.0
                    if iou > best_iou:
                        best, best_iou = g, iou
                right = best is not None and best_iou >= threshold and best in free
                if right:
                    del free[best]
                ranked.append((scores[d], right))
        ranked.sort(key=lambda pair: -pair[0])
        if positives == 0:
            result.append(float("nan"))
            continue
        curve, found = [], 0
        for rank, (_, right) in enumerate(ranked, start=1):
            found += right
            curve.append((found / positives, found / rank))
        if points == 11:
            levels = np.arange(0, 1.1, 0.1)
            result.append(sum(max((p for r, p in curve if r >= t), default=0.0) for t in levels) / 11)
        else:
            recalls = sorted({r for r, _ in curve if r > 0})
            steps = np.diff([0.0, *recalls])
            result.append(sum(w * max(p for r, p in curve if r >= t) for w, t in zip(steps, recalls, strict=True)))
    return np.array(result)


@st.composite
def picture_sets(draw, min_pictures=0):
    """Small sets of pictures whose predictions resemble the truths, with scores distinct over the whole set."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pictures = []
    for number in range(draw(st.integers(min_pictures, 4))):
        n, m = draw(st.integers(0, 5)), draw(st.integers(0, 3))
        truths = rng.random((m, SIDE, SIDE)) < 0.4
        base = truths[rng.integers(0, m, n)] if m else rng.random((n, SIDE, SIDE)) < 0.4
        masks = base ^ (rng.random((n, SIDE, SIDE)) < 0.15)
        predicted = (masks, rng.integers(0, C, n), rng.random(n))
        pictures.append((f"p{number}", predicted, (truths, rng.integers(0, C, m))))
    return pictures


def squares(*corners, size=4):
    masks = np.zeros((len(corners), 20, 20), dtype=bool)
    for mask, (y, x) in zip(masks, corners, strict=True):
        mask[y : y + size, x : x + size] = True
    return masks


def test_golden_curve():
    """Ranked true, false, true with 3 truths: precisions 1, 1/2, 2/3; area 1/3 * 1 + 1/3 * 2/3 = 5/9."""
    truth = squares((0, 0), (0, 8), (8, 0))
    predicted = squares((0, 0), (14, 14), (0, 8))
    picture = ("a", (predicted, np.zeros(3, int), np.array([0.9, 0.8, 0.7])), (truth, np.zeros(3, int)))
    evidence = instance_ap.collect([picture], classes=2)
    assert instance_ap.average_precision(evidence)[0] == pytest.approx([5 / 9, np.nan], nan_ok=True)
    assert instance_ap.mean_ap(evidence, 0.5) == pytest.approx(500 / 9)
    # Recalls 0..0.3 see precision 1, 0.4..0.6 see 2/3, the rest 0.
    assert instance_ap.average_precision(evidence, points=11)[0, 0] == pytest.approx((4 + 3 * 2 / 3) / 11)


def test_threshold_is_inclusive_and_duplicates_are_false():
    truth = squares((0, 0))
    half = truth.copy()
    half[0, :2] = False  # half of the square: IoU exactly 0.5
    picture = ("a", (np.concatenate([half, truth]), np.zeros(2, int), np.array([0.9, 0.8])), (truth, np.zeros(1, int)))
    evidence = instance_ap.collect([picture], classes=1, thresholds=(0.5, 0.51))
    assert evidence.matched.tolist() == [[True, False], [False, True]]


def test_no_second_choice():
    """The second prediction overlaps a taken truth most; the free truth it also reaches is not given to it."""
    truth = np.zeros((2, 1, 20), dtype=bool)
    truth[0, 0, :10], truth[1, 0, 4:14] = True, True
    predicted = np.zeros((2, 1, 20), dtype=bool)
    predicted[0, 0, :10], predicted[1, 0, 1:11] = True, True
    picture = ("a", (predicted, np.zeros(2, int), np.array([0.9, 0.8])), (truth, np.zeros(2, int)))
    evidence = instance_ap.collect([picture], classes=1, thresholds=(0.5,))
    assert evidence.matched[:, 0].tolist() == [True, False]


def test_void_pixels_count_as_background():
    """A prediction that also covers a void ring pays in the union: 16 of 36 pixels, IoU 0.44."""
    truth = squares((4, 4))  # the ring around it is void and so in no mask
    covering = squares((3, 3), size=6)
    picture = ("a", (covering, np.zeros(1, int), np.ones(1)), (truth, np.zeros(1, int)))
    assert instance_ap.mean_ap(instance_ap.collect([picture], 1), 0.5) == 0.0
    assert instance_ap.mean_ap(instance_ap.collect([picture], 1, thresholds=(16 / 36,)), 16 / 36) == 100.0


def test_ties_keep_picture_order():
    """Both score 1; the false one comes first in picture order and costs half the precision."""
    truth, wrong = squares((0, 0)), squares((10, 10))
    one = np.ones(1)
    zero = np.zeros(1, int)
    first = ("a", (wrong, zero, one), (truth[:0], zero[:0]))
    second = ("b", (truth, zero, one), (truth, zero))
    assert instance_ap.mean_ap(instance_ap.collect([first, second], 1), 0.5) == 50.0
    assert instance_ap.mean_ap(instance_ap.collect([second, first], 1), 0.5) == 100.0


@QUICK
@given(picture_sets())
def test_equals_the_slow_evaluation(pictures):
    evidence = instance_ap.collect(pictures, C, thresholds=(0.3, 0.5, 0.7))
    for points in ("all", 11):
        fast = instance_ap.average_precision(evidence, points=points)
        for row, threshold in zip(fast, (0.3, 0.5, 0.7), strict=True):
            np.testing.assert_allclose(row, slow_ap(pictures, C, threshold, points), atol=1e-12)


def has_equal_overlaps(pictures):
    """Whether a prediction overlaps two truths equally, so that which one it takes hangs on their order."""
    rows = [row[row > 0] for _, (masks, *_), (truths, _) in pictures for row in mask_iou(masks, truths)]
    return any(len(np.unique(row)) < len(row) for row in rows)


@QUICK
@given(picture_sets(), st.integers(0, 2**32 - 1))
def test_order_of_predictions_and_of_truths_does_not_matter(pictures, seed):
    assume(not has_equal_overlaps(pictures))
    rng = np.random.default_rng(seed)
    shuffled = []
    for name, (masks, labels, scores), (truths, truth_labels) in pictures:
        a, b = rng.permutation(len(masks)), rng.permutation(len(truths))
        shuffled.append((name, (masks[a], labels[a], scores[a]), (truths[b], truth_labels[b])))
    left, right = (instance_ap.collect(each, C) for each in (pictures, shuffled))
    np.testing.assert_array_equal(instance_ap.average_precision(left), instance_ap.average_precision(right))


@QUICK
@given(picture_sets(), st.permutations(range(C)))
def test_relabelling_classes_permutes_the_columns(pictures, new_label):
    new = np.array(new_label)
    renamed = [(n, (m, new[lab], s), (t, new[truth])) for n, (m, lab, s), (t, truth) in pictures]
    before = instance_ap.average_precision(instance_ap.collect(pictures, C))
    after = instance_ap.average_precision(instance_ap.collect(renamed, C))
    np.testing.assert_array_equal(after[:, new], before)


@QUICK
@given(picture_sets(min_pictures=1), st.integers(0, 2**32 - 1))
def test_weights_equal_repeated_pictures(pictures, seed):
    weights = np.random.default_rng(seed).integers(0, 4, len(pictures))
    # A repeated picture repeats its scores, and equal scores rank in picture order: copies stand together.
    repeated = [picture for picture, times in zip(pictures, weights, strict=True) for _ in range(times)]
    evidence = instance_ap.collect(pictures, C)
    for points in ("all", 11):
        weighted = instance_ap.average_precision(evidence, weights, points)
        plain = instance_ap.average_precision(instance_ap.collect(repeated, C), points=points)
        np.testing.assert_allclose(weighted, plain, atol=1e-12)


def test_perfect_empty_and_nothing():
    truth = squares((0, 0), (0, 8))
    labels = np.array([0, 1])
    nothing = (truth[:0], labels[:0], np.zeros(0))
    perfect = instance_ap.collect([("a", (truth, labels, np.ones(2)), (truth, labels))], C)
    assert instance_ap.mean_ap(perfect, 0.7) == 100.0
    assert instance_ap.mean_ap(instance_ap.collect([("a", nothing, (truth, labels))], C), 0.5) == 0.0
    assert np.isnan(instance_ap.mean_ap(instance_ap.collect([("a", nothing, (truth[:0], labels[:0]))], C), 0.5))
    assert np.isnan(instance_ap.mean_ap(instance_ap.collect([], C), 0.5))


def test_file_round_trip(tmp_path):
    truth = squares((0, 0), (0, 8))
    labels = np.array([0, 1])
    evidence = instance_ap.collect([("ä1", (truth, labels, np.array([0.5, 0.25])), (truth, labels))], C)
    evidence.save(tmp_path / "evidence.npz")
    back = resample.load(tmp_path / "evidence.npz")
    assert isinstance(back, instance_ap.InstanceEvidence)
    for name in ("image", "label", "score", "matched", "truth_count", "thresholds", "names"):
        np.testing.assert_array_equal(getattr(back, name), getattr(evidence, name))
    evidence.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "evidence.npz").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.array([3])}, "p7: label 3..3 outside 0..2"),
        ({"scores": np.array([np.nan])}, "p7: a score is not a number"),
        ({"scores": np.ones(2)}, "p7: 1 masks or boxes, 1 labels, 2 scores"),
        ({"masks": np.ones((1, 5, 5), bool)}, "p7: masks of sizes"),
    ],
)
def test_bad_input_names_the_picture(change, message):
    good = {"masks": np.ones((1, 6, 6), bool), "labels": np.zeros(1, int), "scores": np.ones(1)}
    predicted = tuple({**good, **change}.values())
    with pytest.raises(ValueError, match=message):
        instance_ap.collect([("p7", predicted, (np.ones((1, 6, 6), bool), np.zeros(1, int)))], C)


def test_bad_questions():
    evidence = instance_ap.collect([], C)
    with pytest.raises(ValueError, match="IoU 0.6 was not collected"):
        instance_ap.mean_ap(evidence, 0.6)
    with pytest.raises(ValueError, match="points"):
        instance_ap.average_precision(evidence, points=12)
    with pytest.raises(ValueError, match="thresholds"):
        instance_ap.collect([], C, thresholds=(0.0,))
    with pytest.raises(ValueError, match="one per picture"):
        instance_ap.average_precision(evidence, np.ones(3))
