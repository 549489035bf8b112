"""Which pictures a figure of label maps shows: ranked by how well a map fits the truth, never by eye."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from weakseg.data.coco import PictureSet

VOID = 255


def map_iou(labels: np.ndarray, truth: np.ndarray) -> float:
    """Mean IoU in percent over the true labels of one picture, background included; void does not count.

    labels, truth: (H, W); an ignored pixel (255) of `labels` is wrong wherever it lies. 0 where all is void.
    """
    counts = truth != VOID
    labels, truth = labels[counts], truth[counts]
    found = [(labels == label, truth == label) for label in np.unique(truth)]
    return 100 * float(np.mean([(mine & true).sum() / (mine | true).sum() for mine, true in found] or [0.0]))


def map_quality(
    pictures: PictureSet, labels_of: Callable[[str], np.ndarray], least_classes: int = 1
) -> dict[str, float]:
    """`map_iou` of labels_of(name) for every picture in which at least `least_classes` classes are to be seen."""
    result = {}
    for index, name in enumerate(pictures.names):
        truth = pictures.semantic(index)
        if len(np.setdiff1d(truth, (0, VOID))) >= least_classes:
            result[name] = map_iou(labels_of(name), truth)
    return result
