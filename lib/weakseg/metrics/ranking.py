"""The two halves of VOC average precision: matching inside one picture, and the area over all pictures.

Rules as in chainercv's `eval_instance_segmentation_voc` and `eval_detection_voc`: predictions of one class are visited
by falling score; each takes the truth of its class with the largest IoU; it is right when that IoU reaches the
threshold and that truth is still free, else false (there is no second choice). Equal scores keep the given order.
"""

from __future__ import annotations

import numpy as np

from weakseg.metrics.evidence import ratio

# chainercv writes the eleven recalls like this; 0.1 * 3 is a hair above 0.3 and so is this grid.
ELEVEN_RECALLS = np.arange(0.0, 1.1, 0.1)


def match(
    iou: np.ndarray, scores: np.ndarray, labels: np.ndarray, truth_labels: np.ndarray, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Match the D predictions of one picture with its G truths.

    Args:
        iou: (D, G) overlaps. scores: (D,). labels: (D,). truth_labels: (G,). thresholds: (T,) in (0, 1].

    Returns:
        matched: (D, T) bool, the prediction is a true positive.
        taken: (D, T) int, the truth whose overlap reaches the threshold, -1 where none does.
    """
    count, steps = len(scores), len(thresholds)
    if count == 0 or iou.shape[1] == 0:
        return np.zeros((count, steps), dtype=bool), np.full((count, steps), -1)
    same_class = np.where(labels[:, None] == truth_labels[None], iou, -1.0)
    best = same_class.argmax(axis=1)
    reached = same_class.max(axis=1)[:, None] >= np.asarray(thresholds)[None]
    taken = np.where(reached, best[:, None], -1)
    order = np.argsort(-scores, kind="stable")
    matched = np.stack([_first_to_take(column, order) for column in taken.T], axis=1)
    return matched, taken


def _first_to_take(taken: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Of the predictions that want the same truth, the one that comes first in `order`; (D,) bool."""
    ranked = taken[order]
    _, first = np.unique(ranked, return_index=True)
    matched = np.zeros(len(taken), dtype=bool)
    matched[order[first]] = True
    return matched & (taken >= 0)


def class_average_precision(
    true: np.ndarray, counted: np.ndarray, positives: np.ndarray, points: str | int = "all"
) -> np.ndarray:
    """Average precision of one class from its ranked predictions, for B weightings of the pictures at once.

    AP = sum over the true positives of (their weight / positives) * (highest precision at this rank or later),
    the area under the precision envelope; or with `points=11` the mean envelope at the recalls 0, 0.1, ..., 1.

    Args:
        true: (B, D) weight of the true positives, 0 elsewhere, by falling score.
        counted: (B, D) weight of the predictions that count (true or false).
        positives: (B,) weight of the truths. points: "all" or 11.

    Returns:
        (B,) in [0, 1]; nan where there are no positives.
    """
    running = true.cumsum(axis=1)
    precision = ratio(running, counted.cumsum(axis=1), empty=0.0)
    if points == "all":
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        return ratio((true * envelope).sum(axis=1), positives)
    recall = ratio(running, positives[:, None], empty=0.0)
    at_recall = [np.where(recall >= level, precision, 0.0).max(axis=1, initial=0.0) for level in ELEVEN_RECALLS]
    return np.where(positives > 0, np.mean(at_recall, axis=0), np.nan)


def ranked_average_precision(
    image: np.ndarray,
    label: np.ndarray,
    score: np.ndarray,
    matched: np.ndarray,
    ignored: np.ndarray | None,
    truth_count: np.ndarray,
    weights: np.ndarray,
    points: str | int = "all",
) -> np.ndarray:
    """Average precision over all pictures, for B weightings, T thresholds and C classes: (B, T, C), nan without truth.

    Args:
        image, label, score: (D,) of every prediction. matched: (D, T). ignored: (D, T) or None, predictions that are
            neither right nor wrong (matched with a difficult object).
        truth_count: (N, C) objects to be found. weights: (B, N), how often each picture counts.

    Raises:
        ValueError: `points` is neither "all" nor 11.
    """
    if points not in ("all", 11):
        raise ValueError(f"points: {points!r} is no way to take the area; give 'all' or 11")
    positives = weights @ truth_count
    result = np.full((len(weights), matched.shape[1], truth_count.shape[1]), np.nan)
    for each_class in range(truth_count.shape[1]):
        chosen = np.flatnonzero(label == each_class)
        chosen = chosen[np.argsort(-score[chosen], kind="stable")]
        weight = weights[:, image[chosen]]
        for step in range(matched.shape[1]):
            counted = weight if ignored is None else weight * ~ignored[chosen, step]
            result[:, step, each_class] = class_average_precision(
                weight * matched[chosen, step], counted, positives[:, each_class], points
            )
    return result
