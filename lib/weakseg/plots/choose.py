"""Which pictures a figure shows: chosen by numbers, never by eye."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from weakseg.data.coco import PictureSet
from weakseg.metrics.overlap import mask_iou
from weakseg.study.artifacts import load_instances


def strongest(scores: np.ndarray, share: float = 0.5, most: int = 6) -> np.ndarray:
    """Places of the detections that a figure draws: those of at least `share` of the best score, at most `most`.

    scores: (n,), falling, as detections are saved.
    """
    return np.flatnonzero(scores >= share * scores.max(initial=0))[:most]


def quality(
    pictures: PictureSet,
    predictions: Path,
    crowded: bool = False,
    drawn: Callable[[np.ndarray], np.ndarray] | None = None,
) -> dict[str, float]:
    """For each picture the mean, over its true instances, of the best IoU with a prediction of their class, in percent.

    predictions: folder of saved instances; those that score 0 do not count, nor those that are not among the
    places drawn(scores), such as `strongest`. `crowded` keeps only pictures in which a class has several instances.
    Pictures without instance masks or without instances are left out.
    """
    result = {}
    for index, name in enumerate(pictures.names):
        masks, labels = pictures.instances(index) if pictures.has_instances(index) else ((), np.zeros(0, int))
        if len(labels) and (not crowded or np.bincount(labels).max() > 1):
            found = load_instances(predictions, name)
            if drawn is not None:
                found = tuple(part[drawn(found[2])] for part in found)
            result[name] = 100 * float(best_overlaps(found, (masks, labels)).mean())
    return result


def best_overlaps(predicted: tuple[np.ndarray, ...], truth: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Best IoU in [0, 1] of each true instance with the predictions of its class that score above 0: (n,)."""
    (masks, labels, scores), (true_masks, true_labels) = predicted, truth
    kept = scores > 0
    overlap = mask_iou(masks[kept], true_masks) * (labels[kept][:, None] == true_labels[None])
    return overlap.max(axis=0, initial=0.0)


def cases(quality: Mapping[str, float], shares: Sequence[float] = (1.0, 0.75, 0.5, 0.25, 0.0)) -> dict[str, str]:
    """Pick pictures by the rank of their quality in percent: {"best, IoU 93": name, ...}, equal ones by name.

    `shares` are places in the ranking, 1 the best and 0 the worst. Raises ValueError without pictures.
    """
    if not quality:
        raise ValueError("no picture has a quality to choose by: the split holds no instance of any class")
    ranked = sorted(quality, key=lambda name: (quality[name], name))
    chosen = [ranked[round(share * (len(ranked) - 1))] for share in shares]
    return {f"{_rank(share)}\nIoU {quality[name]:.0f}": name for share, name in zip(shares, chosen, strict=True)}


def _rank(share: float) -> str:
    return {1.0: "best", 0.5: "median", 0.0: "worst"}.get(share, f"better than {100 * share:.0f}%")
