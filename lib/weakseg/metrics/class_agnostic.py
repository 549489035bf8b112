"""AP of salient instances, which have no class: over all pictures at once, and picture by picture.

WSID-Net names its metric only by a citation, so both readings are reported: AP over the ranked predictions of the whole
set (`collect`, read as "AP50" and "AP70" like any instance AP), and the mean over pictures of an AP of each picture's
own predictions, as S4Net's evaluation does (`collect_per_picture`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from weakseg.metrics import instance_ap
from weakseg.metrics.evidence import Evidence, picture_weights, ratio
from weakseg.metrics.instance_ap import InstanceEvidence, check_thresholds, threshold_index
from weakseg.metrics.overlap import mask_iou

MOST = 20  # predictions of a picture that S4Net's evaluation looks at
Predicted = tuple[np.ndarray, np.ndarray]  # masks (n, H, W) bool, scores (n,)
Pictures = Iterable[tuple[str, Predicted, np.ndarray]]  # name, predicted, true masks (m, H, W) bool


def collect(pictures: Pictures, thresholds: Sequence[float] = (0.5, 0.7)) -> InstanceEvidence:
    """Evidence of one class that holds everything; see metrics.instance_ap.collect for rules and errors."""
    return instance_ap.collect(map(_of_one_class, pictures), 1, thresholds)


def _of_one_class(picture: tuple[str, Predicted, np.ndarray]):
    name, (masks, scores), truth = picture
    return name, (masks, np.zeros(len(masks), int), scores), (truth, np.zeros(len(truth), int))


@dataclass(frozen=True)
class PictureEvidence(Evidence):
    """AP of every picture by itself.

    released, plain: (N, T) in [0, 1], see `picture_ap`; nan for a picture without truth. thresholds: (T,). names: (N,).
    """

    kind: ClassVar[str] = "picture_instances"
    released: np.ndarray
    plain: np.ndarray
    thresholds: np.ndarray
    names: np.ndarray


def collect_per_picture(pictures: Pictures, thresholds: Sequence[float] = (0.5, 0.7)) -> PictureEvidence:
    """Both forms of `picture_ap` for every picture.

    Raises:
        ValueError: masks of different sizes, scores that do not fit; names the picture.
    """
    steps, names, values = check_thresholds(thresholds), [], []
    for name, (masks, scores), truth in pictures:
        _, scores = instance_ap.check_predictions(name, len(masks), np.zeros(len(masks)), scores, 1)
        if len(masks) and len(truth) and masks.shape[1:] != truth.shape[1:]:
            raise ValueError(f"{name}: masks of {masks.shape[1:]} for a picture of {truth.shape[1:]}")
        iou = mask_iou(masks, truth) if len(masks) and len(truth) else np.zeros((len(masks), len(truth)))
        names.append(name)
        values.append([[picture_ap(iou, scores, step, released) for step in steps] for released in (True, False)])
    both = np.array(values, dtype=float).reshape(-1, 2, len(steps))
    return PictureEvidence(both[:, 0], both[:, 1], steps, np.array(names, dtype=str))


def picture_ap(iou: np.ndarray, scores: np.ndarray, threshold: float, released: bool = True) -> float:
    """AP of one picture: trapezoids over the precision and recall of every prefix of its ranked predictions.

    released: S4Net's script takes its two numbers in the wrong order, so it integrates recall over precision (for every
    precision the best recall); otherwise precision is integrated over recall. Either curve starts at 0 with the value
    of its first point. At most 20 predictions count.

    Args:
        iou: (n, m) of predictions and truths. scores: (n,).

    Returns:
        In [0, 1]; nan without truth, 0 without predictions.
    """
    n, m = iou.shape
    if not m:
        return float("nan")
    if not n:
        return 0.0
    ranked = iou[np.argsort(-scores, kind="stable")][:MOST]
    hits = np.array([found_truths(ranked[:length], threshold) for length in range(1, len(ranked) + 1)])
    precision, recall = hits / np.arange(1, len(ranked) + 1), hits / m
    return _area(precision, recall) if released else _area(recall, precision)


def found_truths(iou: np.ndarray, threshold: float) -> int:
    """How many truths find a prediction: in their order each takes the free one with the largest IoU, if that is above
    the threshold (not equal to it). iou: (n, m)."""
    left, found = iou.copy(), 0
    for truth in range(iou.shape[1]):
        best = left[:, truth].argmax()
        if left[best, truth] > threshold:
            found += 1
            left[best] = 0
    return found


def _area(x: np.ndarray, y: np.ndarray) -> float:
    """Trapezoids under the largest y of every distinct x, from 0 on."""
    places = np.unique(x)
    best = np.array([y[x == place].max() for place in places])
    return float(np.trapezoid(np.r_[best[0], best], np.r_[0.0, places]))


def mean_picture_ap(
    evidence: PictureEvidence, threshold: float, weights: np.ndarray | None = None, released: bool = True
) -> float | np.ndarray:
    """Mean over pictures with truth, in percent; (B,) for (B, N) weights (how often each picture counts)."""
    values = (evidence.released if released else evidence.plain)[:, threshold_index(evidence.thresholds, threshold)]
    rows, known = picture_weights(evidence.names, weights), ~np.isnan(values)
    mean = 100 * ratio(rows @ np.where(known, values, 0.0), rows @ known)
    return mean if np.ndim(weights) == 2 else float(mean[0])


@dataclass(frozen=True)
class CountEvidence(Evidence):
    """How many instances were predicted and how many there are: predicted, true (N,) int. names: (N,)."""

    kind: ClassVar[str] = "counts"
    predicted: np.ndarray
    true: np.ndarray
    names: np.ndarray


def right_counts(evidence: CountEvidence, weights: np.ndarray | None = None) -> float | np.ndarray:
    """Share of the pictures whose number is right, in percent; (B,) for (B, N) weights."""
    return _weighted_mean(100.0 * (evidence.predicted == evidence.true), evidence, weights)


def count_error(evidence: CountEvidence, weights: np.ndarray | None = None) -> float | np.ndarray:
    """Mean |t - t*| over the pictures, in instances; (B,) for (B, N) weights."""
    return _weighted_mean(np.abs(evidence.predicted - evidence.true).astype(float), evidence, weights)


def _weighted_mean(values: np.ndarray, evidence: CountEvidence, weights: np.ndarray | None) -> float | np.ndarray:
    rows = picture_weights(evidence.names, weights)
    mean = ratio(rows @ values, rows.sum(1))
    return mean if np.ndim(weights) == 2 else float(mean[0])
