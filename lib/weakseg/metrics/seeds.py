"""Precision and recall of localisation seeds over a sweep of thresholds, and their summary mP (Oh et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from weakseg.metrics.evidence import Evidence, mean_of_known, picture_weights, ratio

# 209 thresholds, -10 to 0.99: whole steps down to -2, where a score map may be far below its maximum, then hundredths.
THRESHOLDS = np.concatenate([np.arange(-10, -1), np.arange(-100, 100) / 100])
FOREGROUND_RECALL = 0.2
BACKGROUND_RECALL = 0.8


@dataclass(frozen=True)
class SeedEvidence(Evidence):
    """Pixel counts per picture, threshold and label (background first).

    right, claimed: (N, T, C + 1) int, pixels given a label, rightly and in all. truth: (N, C + 1). thresholds: (T,).
    """

    kind: ClassVar[str] = "seeds"
    right: np.ndarray
    claimed: np.ndarray
    truth: np.ndarray
    thresholds: np.ndarray
    names: np.ndarray


def collect(
    pictures: Iterable[tuple[str, np.ndarray, np.ndarray, np.ndarray]],
    classes: int,
    thresholds: np.ndarray = THRESHOLDS,
    void: int = 255,
) -> SeedEvidence:
    """Count seed pixels at every threshold.

    Args:
        pictures: (name, seed (H, W) in 1..C, the class with the highest score; confidence (H, W), that score over the
            maximum of its map; truth (H, W)). Where confidence >= threshold the pixel is a seed, elsewhere background.

    Raises:
        ValueError: maps of different sizes or a label out of range; names the picture.
    """
    steps = np.sort(np.asarray(thresholds, dtype=np.float64))
    names, right, claimed, truth_count = [], [], [], []
    for name, seed, confidence, truth in pictures:
        counts = _count(name, seed, confidence, truth, classes, steps, void)
        names.append(name)
        for kept, each in zip((right, claimed, truth_count), counts, strict=True):
            kept.append(each)
    shape = (len(names), len(steps), classes + 1)
    return SeedEvidence(
        right=np.array(right, dtype=np.int32).reshape(shape),
        claimed=np.array(claimed, dtype=np.int32).reshape(shape),
        truth=np.array(truth_count, dtype=np.int32).reshape(len(names), classes + 1),
        thresholds=steps,
        names=np.array(names, dtype=str),
    )


def _count(
    name: str, seed: np.ndarray, confidence: np.ndarray, truth: np.ndarray, classes: int, steps: np.ndarray, void: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """right, claimed (T, C + 1) and truth (C + 1,) of one picture."""
    if not seed.shape == confidence.shape == truth.shape:
        raise ValueError(f"{name}: seed {seed.shape}, confidence {confidence.shape}, truth {truth.shape}; must agree")
    counts = truth != void
    seed, confidence, truth = seed[counts].astype(np.int64), confidence[counts], truth[counts].astype(np.int64)
    if len(seed) and not (1 <= seed.min() and seed.max() <= classes and truth.min() >= 0 and truth.max() <= classes):
        raise ValueError(f"{name}: seeds must lie in 1..{classes} and true labels in 0..{classes} or {void}")
    reached = np.searchsorted(steps, confidence, side="right")  # number of thresholds that the pixel passes
    claimed = _at_least(reached, seed, len(steps), classes)
    right = _at_least(reached[seed == truth], seed[seed == truth], len(steps), classes)
    claimed[:, 0] = len(seed) - claimed.sum(axis=1)
    in_background = truth == 0
    passing = _at_least(reached[in_background], truth[in_background], len(steps), classes)[:, 0]
    right[:, 0] = in_background.sum() - passing
    return right, claimed, np.bincount(truth, minlength=classes + 1)


def _at_least(reached: np.ndarray, label: np.ndarray, steps: int, classes: int) -> np.ndarray:
    """(T, C + 1): pixels of each label that pass threshold t, that is reached > t."""
    histogram = np.bincount(reached * (classes + 1) + label, minlength=(steps + 1) * (classes + 1))
    histogram = histogram.reshape(steps + 1, classes + 1)
    return histogram[::-1].cumsum(axis=0)[::-1][1:]


def curves(evidence: SeedEvidence, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Precision and recall in [0, 1] at every threshold, (T,) each, (B, T) for (B, N) weights.

    Keys: foreground_precision, foreground_recall (means over the classes that occur), background_precision,
    background_recall. Counts are summed over the set before the ratios are taken.
    """
    rows = picture_weights(evidence.names, weights)
    right = np.tensordot(rows, evidence.right, axes=1)  # (B, T, C + 1)
    claimed = np.tensordot(rows, evidence.claimed, axes=1)
    truth = (rows @ evidence.truth)[:, None]
    precision, recall = ratio(right, claimed), ratio(right, truth)
    result = {
        "foreground_precision": mean_of_known(precision[..., 1:]),
        "foreground_recall": mean_of_known(recall[..., 1:]),
        "background_precision": precision[..., 0],
        "background_recall": recall[..., 0],
    }
    return result if np.ndim(weights) == 2 else {key: curve[0] for key, curve in result.items()}


def mean_precision(evidence: SeedEvidence, weights: np.ndarray | None = None) -> float | np.ndarray:
    """mP in percent: mean of the foreground precision at the lowest foreground recall above 0.2 and the background
    precision at the lowest background recall above 0.8 (Oh et al. section 5.1); nan when a recall is never reached.
    """
    curve = {key: np.atleast_2d(each) for key, each in curves(evidence, weights).items()}
    foreground = precision_after(curve["foreground_precision"], curve["foreground_recall"], FOREGROUND_RECALL)
    background = precision_after(curve["background_precision"], curve["background_recall"], BACKGROUND_RECALL)
    mean = 50 * (foreground + background)
    return mean if np.ndim(weights) == 2 else float(mean[0])


def precision_after(precision: np.ndarray, recall: np.ndarray, level: float) -> np.ndarray:
    """Precision at the lowest recall above `level`, for every row; the first threshold wins a tie."""
    above = np.where(recall > level, recall, np.inf)
    chosen = above.argmin(axis=1)
    rows = np.arange(len(recall))
    return np.where(np.isfinite(above[rows, chosen]), precision[rows, chosen], np.nan)
