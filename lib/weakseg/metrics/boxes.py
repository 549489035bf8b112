"""Detection: average precision of boxes (VOC rules) and CorLoc. Boxes are x0, y0, x1, y1 in pixels, half-open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from weakseg.metrics.evidence import Evidence, mean_of_known, picture_weights, ratio
from weakseg.metrics.instance_ap import check_labels, check_predictions, check_thresholds, joined, threshold_index
from weakseg.metrics.overlap import box_iou
from weakseg.metrics.ranking import match, ranked_average_precision

PredictedBoxes = tuple[np.ndarray, np.ndarray, np.ndarray]  # boxes (n, 4), labels (n,), scores (n,)
TruthBoxes = tuple[np.ndarray, np.ndarray, np.ndarray]  # boxes (m, 4), labels (m,), difficult (m,) bool


@dataclass(frozen=True)
class BoxEvidence(Evidence):
    """As InstanceEvidence; ignored (D, T) marks predictions that took a difficult object: neither right nor wrong.

    truth_count (N, C) counts the objects that are not difficult.
    """

    kind: ClassVar[str] = "boxes"
    image: np.ndarray
    label: np.ndarray
    score: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray
    truth_count: np.ndarray
    thresholds: np.ndarray
    names: np.ndarray


@dataclass(frozen=True)
class CorLocEvidence(Evidence):
    """present: (N, C) bool, the picture has the class. hit: (N, C) bool, its best box of the class is on an object."""

    kind: ClassVar[str] = "corloc"
    present: np.ndarray
    hit: np.ndarray
    names: np.ndarray


def collect(
    pictures: Iterable[tuple[str, PredictedBoxes, TruthBoxes]], classes: int, thresholds: Sequence[float] = (0.5,)
) -> BoxEvidence:
    """Match the predicted boxes of every picture with its objects.

    Raises:
        ValueError: labels, scores and boxes that do not fit; names the picture.
    """
    steps = check_thresholds(thresholds)
    names, image, label, score, matched, ignored, truth_count = [], [], [], [], [], [], []
    for name, (boxes, labels, scores), (truth_boxes, truth_labels, difficult) in pictures:
        labels, scores = check_predictions(name, len(boxes), labels, scores, classes)
        truth_labels, difficult = check_labels(name, truth_labels, classes), np.asarray(difficult, dtype=bool)
        hit, taken = match(box_iou(boxes, truth_boxes), scores, labels, truth_labels, steps)
        on_difficult = (taken >= 0) & np.append(difficult, False)[taken]
        image.append(np.full(len(labels), len(names)))
        names.append(name)
        label.append(labels)
        score.append(scores)
        matched.append(hit & ~on_difficult)
        ignored.append(on_difficult)
        truth_count.append(np.bincount(truth_labels[~difficult], minlength=classes))
    return BoxEvidence(
        image=joined(image, (0,), int),
        label=joined(label, (0,), int),
        score=joined(score, (0,), float),
        matched=joined(matched, (0, len(steps)), bool),
        ignored=joined(ignored, (0, len(steps)), bool),
        truth_count=np.array(truth_count, dtype=np.int64).reshape(-1, classes),
        thresholds=steps,
        names=np.array(names, dtype=str),
    )


def average_precision(
    evidence: BoxEvidence, weights: np.ndarray | None = None, points: str | int = "all"
) -> np.ndarray:
    """AP in [0, 1] per threshold and class: (T, C), nan without truth; `points=11` is the VOC 2007 form.

    (B, N) weights give (B, T, C).
    """
    e = evidence
    rows = picture_weights(e.names, weights)
    result = ranked_average_precision(e.image, e.label, e.score, e.matched, e.ignored, e.truth_count, rows, points)
    return result if np.ndim(weights) == 2 else result[0]


def mean_ap(
    evidence: BoxEvidence, threshold: float, weights: np.ndarray | None = None, points: str | int = "all"
) -> float | np.ndarray:
    """Mean AP in percent over the classes that have truth, at one IoU threshold; (B,) for (B, N) weights."""
    step = threshold_index(evidence.thresholds, threshold)
    mean = 100 * mean_of_known(average_precision(evidence, weights, points)[..., step, :])
    return mean if np.ndim(weights) == 2 else float(mean)


def collect_corloc(
    pictures: Iterable[tuple[str, PredictedBoxes, TruthBoxes]], classes: int, threshold: float = 0.5
) -> CorLocEvidence:
    """For every picture and class in it: does the top-scored box of the class reach IoU `threshold` with an object?

    Correct localisation, Deselaers et al. 2010. A class without a predicted box is a miss; difficult objects count like
    the others, because the tags that name the positive pictures include them.
    """
    names, present, hit = [], [], []
    for name, (boxes, labels, scores), (truth_boxes, truth_labels, _) in pictures:
        labels, scores = check_predictions(name, len(boxes), labels, scores, classes)
        truth_labels = check_labels(name, truth_labels, classes)
        reach = (box_iou(boxes, truth_boxes) * (labels[:, None] == truth_labels[None])).max(axis=1, initial=0.0)
        order = np.argsort(-scores, kind="stable")
        first_class, first = np.unique(labels[order], return_index=True)
        found = np.zeros(classes, dtype=bool)
        found[first_class] = reach[order[first]] >= threshold
        names.append(name)
        present.append(np.bincount(truth_labels, minlength=classes) > 0)
        hit.append(found & present[-1])
    shape = (-1, classes)
    return CorLocEvidence(
        present=np.array(present, dtype=bool).reshape(shape),
        hit=np.array(hit, dtype=bool).reshape(shape),
        names=np.array(names, dtype=str),
    )


def corloc(evidence: CorLocEvidence, weights: np.ndarray | None = None) -> np.ndarray:
    """Share in [0, 1] of the positive pictures of each class whose best box is right: (C,), nan without pictures."""
    rows = picture_weights(evidence.names, weights)
    result = ratio(rows @ evidence.hit, rows @ evidence.present)
    return result if np.ndim(weights) == 2 else result[0]


def mean_corloc(evidence: CorLocEvidence, weights: np.ndarray | None = None) -> float | np.ndarray:
    """CorLoc averaged over the classes, in percent; (B,) for (B, N) weights."""
    mean = 100 * mean_of_known(corloc(evidence, weights))
    return mean if np.ndim(weights) == 2 else float(mean)
