"""Detections of a picture as they lie on disk, and what they give as masks: filled boxes, or a label map cut out."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import TagView
from weakseg.ops.bags import filled_boxes
from weakseg.study.artifacts import load_labels, load_maps, save_instances, save_maps
from weakseg.study.stages import Artifact


class Detected(NamedTuple):
    """boxes (n, 4), labels (n,) 0-based, scores (n,), best first; best (C, 4), the top box of every class, its score
    (C,)."""

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    best: Tensor
    best_score: Tensor


def save_detected(folder: Path, name: str, found: Detected) -> None:
    """Writes <folder>/<name>.npz: boxes, labels, scores, best, best_score."""
    save_maps(folder, name, **{key: value.float().cpu().numpy() for key, value in found._asdict().items()})


def load_detected(detections: Artifact, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """boxes (n, 4), labels (n,) int, scores (n,) of one picture."""
    stored = load_maps(detections / "boxes", name)
    return stored["boxes"], stored["labels"].astype(np.int64), stored["scores"]


def load_best(detections: Artifact, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The top box of every class in one picture: boxes (C, 4), labels 0..C-1, scores (C,)."""
    stored = load_maps(detections / "boxes", name)
    return stored["best"], np.arange(len(stored["best"])), stored["best_score"]


def boxes_as_masks(out: Path, *, detections: Artifact, pictures: Artifact, data: DataParams, split: str) -> None:
    """Stage: instances/<name>.npz, every detected box filled: what a detector alone gives as instance masks."""
    view = TagView(open_set(pictures, data, split))
    for index, name in enumerate(view.names):
        boxes, labels, scores = load_detected(detections, name)
        masks = filled_boxes(torch.from_numpy(boxes).round(), *view.image(index).shape[:2])
        save_instances(out / "instances", name, masks.numpy(), labels, scores)


def cut(label_map: np.ndarray, boxes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """bool (n, H, W): the pixels of each box's class, c + 1 in label_map (H, W), inside the box.

    boxes: (n, 4), x0, y0, x1, y1 half-open. labels: (n,) 0-based.
    """
    inside = filled_boxes(torch.from_numpy(boxes).round(), *label_map.shape).numpy()
    return inside & (label_map[None] == labels[:, None, None] + 1)


def cut_by_boxes(
    out: Path, *, detections: Artifact, labels: Artifact, pictures: Artifact, data: DataParams, split: str
) -> None:
    """Stage: instances/<name>.npz from boxes/<name>.npz of detections and semantic/<name>.png of labels.

    A box without a pixel of its class gives no instance.
    """
    for name in open_set(pictures, data, split).names:
        boxes, classes, scores = load_detected(detections, name)
        masks = cut(load_labels(labels / "semantic", name), boxes, classes)
        kept = masks.any((1, 2))
        save_instances(out / "instances", name, masks[kept], classes[kept], scores[kept])
