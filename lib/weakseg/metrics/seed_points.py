"""Single numbers from the precision-recall curves of seeds (Oh et al. 2017, figure 3 and table 2), in percent."""

from __future__ import annotations

import numpy as np

from weakseg.metrics.seeds import BACKGROUND_RECALL, FOREGROUND_RECALL, SeedEvidence, curves, precision_after

RECALL = {"foreground": FOREGROUND_RECALL, "background": BACKGROUND_RECALL}  # where figure 3 is read


def label_value(curve: str, evidence: SeedEvidence, weights: np.ndarray | None = None) -> float | np.ndarray:
    """Precision or recall of label maps, that is of evidence with one threshold; (B,) for (B, N) weights.

    curve: a key of `metrics.seeds.curves`. Raises ValueError for a sweep, whose value depends on the threshold.
    """
    if len(evidence.thresholds) != 1:
        raise ValueError(
            f"{curve}: this evidence is a sweep of {len(evidence.thresholds)} thresholds; only label maps have one"
        )
    value = 100 * curves(evidence, weights)[curve][..., 0]
    return value if np.ndim(weights) == 2 else float(value)


def precision_at(side: str, evidence: SeedEvidence, weights: np.ndarray | None = None) -> float | np.ndarray:
    """Precision of the "foreground" at 20 % recall, or of the "background" at 80 %, the two halves of mP.

    It is the precision at the lowest recall above that level; nan when it is never reached. (B,) for (B, N) weights.
    """
    curve = {key: np.atleast_2d(each) for key, each in curves(evidence, weights).items()}
    value = 100 * precision_after(curve[f"{side}_precision"], curve[f"{side}_recall"], RECALL[side])
    return value if np.ndim(weights) == 2 else float(value[0])
