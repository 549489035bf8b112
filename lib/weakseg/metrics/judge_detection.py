"""Stages that hold detections against the true boxes, and instances at thresholds of one's own or by best overlap."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from weakseg.data.sets import DataParams, open_set
from weakseg.data.voc import Box
from weakseg.data.weak import BoxView, MaskView, known_boxes
from weakseg.metrics import abo, boxes, instance_ap
from weakseg.metrics.boxes import PredictedBoxes, TruthBoxes
from weakseg.ops.detections import load_best, load_detected
from weakseg.study.artifacts import load_instances
from weakseg.study.stages import Artifact


def corners_of(found: list[Box]) -> TruthBoxes:
    """boxes (m, 4), labels (m,), difficult (m,) of one picture."""
    corners = np.array([[box.x0, box.y0, box.x1, box.y1] for box in found], float).reshape(-1, 4)
    return corners, np.array([box.label for box in found], int), np.array([box.difficult for box in found], bool)


def annotated(view: BoxView, split: str) -> Iterator[tuple[str, TruthBoxes]]:
    """(name, true boxes) of the pictures that can be judged. Those without an annotation are counted and left out;
    FileNotFoundError where none has one."""
    without = []
    for index, name in enumerate(view.names):
        boxes_here = known_boxes(view, index)
        if boxes_here is None:
            without.append(name)
        else:
            yield name, corners_of(boxes_here)
    if without:
        line = f"boxes of {split}: {len(without)} of {len(view)} pictures have no annotation"
        if len(without) == len(view):
            raise FileNotFoundError(f"{line}; fetch them")
        print(f"{line} ({without[0]}, ...) and are not judged", flush=True)


def judge_boxes(out: Path, *, detections: Artifact, pictures: Artifact, data: DataParams, split: str) -> None:
    """Stage: evidence.npz of detection AP at IoU 0.5; difficult objects count neither way."""
    view = BoxView(open_set(pictures, data, split))
    named = ((name, load_detected(detections, name), truth) for name, truth in annotated(view, split))
    boxes.collect(named, len(view.classes)).save(out / "evidence.npz")


def judge_corloc(out: Path, *, detections: Artifact, pictures: Artifact, data: DataParams, split: str) -> None:
    """Stage: evidence.npz of CorLoc: is the top box of every class that a picture has on an object of it (IoU 0.5)?"""
    view = BoxView(open_set(pictures, data, split))
    named: Iterator[tuple[str, PredictedBoxes, TruthBoxes]] = (
        (name, load_best(detections, name), truth) for name, truth in annotated(view, split)
    )
    boxes.collect_corloc(named, len(view.classes)).save(out / "evidence.npz")


def judge_instances_at(
    out: Path, *, predictions: Artifact, pictures: Artifact, data: DataParams, split: str, thresholds: tuple[float, ...]
) -> None:
    """Stage: evidence.npz of predictions/instances/<name>.npz at these mask IoU thresholds."""
    view = MaskView(open_set(pictures, data, split))
    named = (
        (name, load_instances(predictions / "instances", name), view.instances(i)) for i, name in enumerate(view.names)
    )
    instance_ap.collect(named, len(view.classes), thresholds).save(out / "evidence.npz")


def judge_overlap(out: Path, *, predictions: Artifact, pictures: Artifact, data: DataParams, split: str) -> None:
    """Stage: evidence.npz of the average best overlap (ABO) of predictions/instances/<name>.npz."""
    view = MaskView(open_set(pictures, data, split))
    named = (
        (name, load_instances(predictions / "instances", name), view.instances(i)) for i, name in enumerate(view.names)
    )
    abo.collect(named, len(view.classes)).save(out / "evidence.npz")
