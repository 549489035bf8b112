"""Average best overlap, and the mask quality of one proxy mask per object."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from weakseg.metrics.evidence import Evidence, mean_of_known, picture_weights, ratio
from weakseg.metrics.instance_ap import Predicted, Truth, check_labels, joined
from weakseg.metrics.overlap import mask_iou


@dataclass(frozen=True)
class OverlapEvidence(Evidence):
    """One entry per true object. image, label: (G,) int. overlap: (G,) in [0, 1]. classes: () int. names: (N,)."""

    kind: ClassVar[str] = "overlaps"
    image: np.ndarray
    label: np.ndarray
    overlap: np.ndarray
    classes: np.ndarray
    names: np.ndarray


def collect(pictures: Iterable[tuple[str, Predicted, Truth]], classes: int) -> OverlapEvidence:
    """Best IoU of every true instance with the predictions of its class in its picture, 0 when there is none.

    Raises:
        ValueError: masks of different sizes or a label out of range; names the picture.
    """
    names, image, label, overlap = [], [], [], []
    for name, (masks, labels, _), (truth_masks, truth_labels) in pictures:
        labels, truth_labels = check_labels(name, labels, classes), check_labels(name, truth_labels, classes)
        image.append(np.full(len(truth_labels), len(names)))
        names.append(name)
        label.append(truth_labels)
        same_class = labels[:, None] == truth_labels[None]
        overlap.append((_iou(name, masks, truth_masks) * same_class).max(axis=0, initial=0.0))
    return _evidence(names, image, label, overlap, classes)


def collect_paired(pictures: Iterable[tuple[str, np.ndarray, np.ndarray, np.ndarray]], classes: int) -> OverlapEvidence:
    """IoU of each true instance with its own proxy mask, for BoxCaseg's mIoU*.

    Args:
        pictures: (name, masks (n, H, W), true masks (n, H, W), labels (n,)), mask i belonging to object i.

    Raises:
        ValueError: a picture without exactly one mask per object.
    """
    names, image, label, overlap = [], [], [], []
    for name, masks, truth_masks, truth_labels in pictures:
        if not len(masks) == len(truth_masks) == len(truth_labels):
            raise ValueError(f"{name}: {len(masks)} proxy masks for {len(truth_masks)} objects; give one for each")
        image.append(np.full(len(masks), len(names)))
        names.append(name)
        label.append(check_labels(name, truth_labels, classes))
        overlap.append(_iou(name, masks, truth_masks).diagonal())
    return _evidence(names, image, label, overlap, classes)


def _iou(name: str, masks: np.ndarray, truth_masks: np.ndarray) -> np.ndarray:
    if not len(masks) or not len(truth_masks):
        return np.zeros((len(masks), len(truth_masks)))
    try:
        return mask_iou(masks, truth_masks)
    except ValueError as problem:
        raise ValueError(f"{name}: {problem}") from None


def _evidence(names: list, image: list, label: list, overlap: list, classes: int) -> OverlapEvidence:
    return OverlapEvidence(
        image=joined(image, (0,), int),
        label=joined(label, (0,), int),
        overlap=joined(overlap, (0,), float),
        classes=np.array(classes),
        names=np.array(names, dtype=str),
    )


def _class_mean(evidence: OverlapEvidence, values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Mean of per-object values (G,) in each class: (B, C), nan for classes without objects."""
    weight = picture_weights(evidence.names, weights)[:, evidence.image]
    of_class = (evidence.label[:, None] == np.arange(int(evidence.classes))[None]).astype(np.float64)  # (G, C)
    return ratio((weight * values) @ of_class, weight @ of_class)


def best_overlap(evidence: OverlapEvidence, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean overlap of the objects of each class in [0, 1]: (C,), nan for classes without objects; (B, C) for (B, N)."""
    result = _class_mean(evidence, evidence.overlap, weights)
    return result if np.ndim(weights) == 2 else result[0]


def mean_best_overlap(evidence: OverlapEvidence, weights: np.ndarray | None = None) -> float | np.ndarray:
    """ABO in percent: mean per class, then over the classes that have objects; (B,) for (B, N) weights."""
    mean = 100 * mean_of_known(best_overlap(evidence, weights))
    return mean if np.ndim(weights) == 2 else float(mean)


def share_above(evidence: OverlapEvidence, threshold: float, weights: np.ndarray | None = None) -> float | np.ndarray:
    """BoxCaseg's IoU@k in percent: share of all objects, whatever their class, whose overlap is >= threshold."""
    weight = picture_weights(evidence.names, weights)[:, evidence.image]
    share = 100 * ratio(weight @ (evidence.overlap >= threshold), weight.sum(axis=1))
    return share if np.ndim(weights) == 2 else float(share[0])
