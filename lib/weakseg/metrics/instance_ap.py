"""Instance average precision as PASCAL VOC papers report it (rules of chainercv, see `ranking`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from weakseg.metrics.evidence import Evidence, mean_of_known, picture_weights
from weakseg.metrics.overlap import mask_iou
from weakseg.metrics.ranking import match, ranked_average_precision

Predicted = tuple[np.ndarray, np.ndarray, np.ndarray]  # masks (n, H, W) bool, labels (n,), scores (n,)
Truth = tuple[np.ndarray, np.ndarray]  # masks (m, H, W) bool, labels (m,)


@dataclass(frozen=True)
class InstanceEvidence(Evidence):
    """Every prediction of every picture with its verdict.

    image, label: (D,) int, picture and 0-based class of a prediction. score: (D,). matched: (D, T) bool.
    truth_count: (N, C) objects of each class in each picture. thresholds: (T,). names: (N,).
    """

    kind: ClassVar[str] = "instances"
    image: np.ndarray
    label: np.ndarray
    score: np.ndarray
    matched: np.ndarray
    truth_count: np.ndarray
    thresholds: np.ndarray
    names: np.ndarray


def collect(
    pictures: Iterable[tuple[str, Predicted, Truth]], classes: int, thresholds: Sequence[float] = (0.5, 0.7)
) -> InstanceEvidence:
    """Match the predictions of every picture with its true instances.

    Args:
        pictures: (name, (masks, labels, scores), (masks, labels)); masks bool (n, H, W), labels 0-based. Void pixels
            belong to no true mask, so a prediction that covers them pays in the union.
        classes: number of classes C. thresholds: IoU thresholds in (0, 1].

    Raises:
        ValueError: masks of different sizes, a label out of range, a score that is not a number; names the picture.
    """
    steps = check_thresholds(thresholds)
    names, image, label, score, matched, truth_count = [], [], [], [], [], []
    for name, (masks, labels, scores), (truth_masks, truth_labels) in pictures:
        labels, scores = check_predictions(name, len(masks), labels, scores, classes)
        truth_labels = check_labels(name, truth_labels, classes)
        iou = _overlaps(name, masks, truth_masks)
        hit, _ = match(iou, scores, labels, truth_labels, steps)
        image.append(np.full(len(labels), len(names)))
        names.append(name)
        label.append(labels)
        score.append(scores)
        matched.append(hit)
        truth_count.append(np.bincount(truth_labels, minlength=classes))
    return InstanceEvidence(
        image=joined(image, (0,), int),
        label=joined(label, (0,), int),
        score=joined(score, (0,), float),
        matched=joined(matched, (0, len(steps)), bool),
        truth_count=np.array(truth_count, dtype=np.int64).reshape(-1, classes),
        thresholds=steps,
        names=np.array(names, dtype=str),
    )


def average_precision(
    evidence: InstanceEvidence, weights: np.ndarray | None = None, points: str | int = "all"
) -> np.ndarray:
    """AP in [0, 1] per threshold and class: (T, C), nan for classes without truth.

    With `weights` (N,) picture i counts weights[i] times, equal to an evaluation in which it is repeated that often.
    (B, N) weights give (B, T, C).
    """
    e = evidence
    rows = picture_weights(e.names, weights)
    result = ranked_average_precision(e.image, e.label, e.score, e.matched, None, e.truth_count, rows, points)
    return result if np.ndim(weights) == 2 else result[0]


def mean_ap(
    evidence: InstanceEvidence, threshold: float, weights: np.ndarray | None = None, points: str | int = "all"
) -> float | np.ndarray:
    """Mean AP over the classes that have truth, in percent, at one IoU threshold; (B,) for (B, N) weights."""
    step = threshold_index(evidence.thresholds, threshold)
    mean = 100 * mean_of_known(average_precision(evidence, weights, points)[..., step, :])
    return mean if np.ndim(weights) == 2 else float(mean)


def check_thresholds(thresholds: Sequence[float]) -> np.ndarray:
    """Thresholds as (T,) float64; ValueError unless all lie in (0, 1]."""
    steps = np.asarray(thresholds, dtype=np.float64)
    if steps.ndim != 1 or not len(steps) or (steps <= 0).any() or (steps > 1).any():
        raise ValueError(f"thresholds: {tuple(thresholds)} must be one or more IoU values in (0, 1]")
    return steps


def threshold_index(thresholds: np.ndarray, threshold: float) -> int:
    """Position of a threshold; ValueError when the evidence was collected without it."""
    close = np.flatnonzero(np.isclose(thresholds, threshold, atol=1e-6))
    if not len(close):
        raise ValueError(f"IoU {threshold:g} was not collected; the evidence holds {thresholds.tolist()}")
    return int(close[0])


def check_labels(name: str, labels: np.ndarray, classes: int) -> np.ndarray:
    """Labels (n,) as integers in 0..classes-1; ValueError naming the picture otherwise."""
    labels = np.asarray(labels).reshape(-1).astype(np.int64)
    if len(labels) and not (0 <= labels.min() and labels.max() < classes):
        raise ValueError(f"{name}: label {labels.min()}..{labels.max()} outside 0..{classes - 1}; labels are 0-based")
    return labels


def check_predictions(
    name: str, count: int, labels: np.ndarray, scores: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores (n,) of `count` predictions; ValueError naming the picture when they do not fit."""
    labels, scores = check_labels(name, labels, classes), np.asarray(scores, dtype=np.float64).reshape(-1)
    if not count == len(labels) == len(scores):
        raise ValueError(f"{name}: {count} masks or boxes, {len(labels)} labels, {len(scores)} scores; must agree")
    if np.isnan(scores).any():
        raise ValueError(f"{name}: a score is not a number; predictions cannot be ranked")
    return labels, scores


def joined(parts: list[np.ndarray], empty_shape: tuple[int, ...], kind: type) -> np.ndarray:
    """The parts one after another; an empty array of the given shape when there are none."""
    return np.concatenate(parts).astype(kind) if parts else np.zeros(empty_shape, dtype=kind)


def _overlaps(name: str, masks: np.ndarray, truth_masks: np.ndarray) -> np.ndarray:
    if not len(masks) or not len(truth_masks):
        return np.zeros((len(masks), len(truth_masks)))
    try:
        return mask_iou(masks, truth_masks)
    except ValueError as problem:
        raise ValueError(f"{name}: {problem}") from None
