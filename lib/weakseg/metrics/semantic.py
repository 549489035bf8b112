"""Mean IoU of label maps over the whole set, void ignored (rule of chainercv's `eval_semantic_segmentation`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from weakseg.metrics.evidence import Evidence, mean_of_known, picture_weights, ratio


@dataclass(frozen=True)
class SemanticEvidence(Evidence):
    """confusion: (N, K, K) int64, pixels by true (row) and predicted (column) label. names: (N,)."""

    kind: ClassVar[str] = "semantic"
    confusion: np.ndarray
    names: np.ndarray


def collect(
    pictures: Iterable[tuple[str, np.ndarray, np.ndarray]], classes_with_background: int, void: int = 255
) -> SemanticEvidence:
    """Count the pixels of every picture by true and predicted label.

    Args:
        pictures: (name, predicted (H, W) integer, truth (H, W) integer); 0 is background, true `void` is skipped.
        classes_with_background: K.

    Raises:
        ValueError: maps of different sizes, or a label outside 0..K-1 at a pixel that counts; names the picture.
    """
    K = classes_with_background
    names, confusion = [], []
    for name, predicted, truth in pictures:
        names.append(name)
        confusion.append(_confusion(name, np.asarray(predicted), np.asarray(truth), K, void))
    return SemanticEvidence(
        confusion=np.array(confusion, dtype=np.int64).reshape(-1, K, K), names=np.array(names, dtype=str)
    )


def _confusion(name: str, predicted: np.ndarray, truth: np.ndarray, K: int, void: int) -> np.ndarray:
    if predicted.shape != truth.shape:
        raise ValueError(f"{name}: predicted map {predicted.shape}, true map {truth.shape}; sizes must agree")
    counts = truth != void
    true, guess = truth[counts].astype(np.int64), predicted[counts].astype(np.int64)
    for what, labels in (("true", true), ("predicted", guess)):
        if len(labels) and not (0 <= labels.min() and labels.max() < K):
            raise ValueError(f"{name}: {what} label {labels.min()}..{labels.max()} outside 0..{K - 1}")
    return np.bincount(true * K + guess, minlength=K * K).reshape(K, K)


def iou(evidence: SemanticEvidence, weights: np.ndarray | None = None) -> np.ndarray:
    """IoU in [0, 1] per label, (K,), background first: true positives / (truth + predicted - true positives).

    nan for a label that occurs in neither. (B, N) weights give (B, K).
    """
    rows = picture_weights(evidence.names, weights)
    total = np.tensordot(rows, evidence.confusion, axes=1)  # (B, K, K)
    right = total.diagonal(axis1=1, axis2=2)
    result = ratio(right, total.sum(axis=1) + total.sum(axis=2) - right)
    return result if np.ndim(weights) == 2 else result[0]


def mean_iou(evidence: SemanticEvidence, weights: np.ndarray | None = None) -> float | np.ndarray:
    """Mean IoU over the labels that occur, background included, in percent; (B,) for (B, N) weights."""
    mean = 100 * mean_of_known(iou(evidence, weights))
    return mean if np.ndim(weights) == 2 else float(mean)
