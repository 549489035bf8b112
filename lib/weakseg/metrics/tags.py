"""How well pictures are tagged: multi-label average precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from weakseg.metrics.evidence import Evidence, mean_of_known, picture_weights, ratio


@dataclass(frozen=True)
class TagEvidence(Evidence):
    """scores: (N, C) float, higher means more likely. tags: (N, C) bool or 0/1. names: (N,)."""

    kind: ClassVar[str] = "tags"
    scores: np.ndarray
    tags: np.ndarray
    names: np.ndarray


def average_precision(evidence: TagEvidence, weights: np.ndarray | None = None) -> np.ndarray:
    """AP in [0, 1] per class, (C,): sum over the distinct scores of (recall gained there) * (precision there).

    No interpolation; pictures with equal scores enter together, so their order does not matter. nan for a class that no
    picture has. (B, N) weights give (B, C).

    Raises:
        ValueError: scores and tags differ in shape, or a score is not a number.
    """
    if evidence.scores.shape != evidence.tags.shape or len(evidence.scores) != len(evidence.names):
        raise ValueError(
            f"scores {evidence.scores.shape}, tags {evidence.tags.shape}, {len(evidence.names)} names; all must agree"
        )
    if np.isnan(evidence.scores).any():
        raise ValueError("scores: a tag score is not a number; pictures cannot be ranked")
    rows = picture_weights(evidence.names, weights)
    columns = zip(evidence.scores.T, evidence.tags.T, strict=True)
    result = np.stack([_class_ap(score, tag > 0, rows) for score, tag in columns], axis=1)  # (B, C)
    return result if np.ndim(weights) == 2 else result[0]


def _class_ap(score: np.ndarray, tag: np.ndarray, weights: np.ndarray) -> np.ndarray:
    order = np.argsort(-score, kind="stable")
    last_of_score = np.diff(score[order], append=-np.inf) != 0
    weight = weights[:, order]
    true = (weight * tag[order]).cumsum(axis=1)[:, last_of_score]
    precision = ratio(true, weight.cumsum(axis=1)[:, last_of_score], empty=0.0)
    gained = np.diff(true, axis=1, prepend=0.0)
    return ratio((gained * precision).sum(axis=1), weights @ tag)


def mean_average_precision(evidence: TagEvidence, weights: np.ndarray | None = None) -> float | np.ndarray:
    """Mean of the class APs in percent, classes without a picture left out; (B,) for (B, N) weights."""
    mean = 100 * mean_of_known(average_precision(evidence, weights))
    return mean if np.ndim(weights) == 2 else float(mean)
