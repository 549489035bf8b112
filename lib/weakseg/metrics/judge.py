"""Stages that hold predictions against the truth of a split and keep what a table needs."""

from pathlib import Path

from weakseg.data.sets import DataParams, open_set
from weakseg.metrics import instance_ap, semantic
from weakseg.study.artifacts import load_instances, load_labels
from weakseg.study.stages import Artifact


def judge_instances(out: Path, *, predictions: Artifact, pictures: Artifact, data: DataParams, split: str) -> None:
    """Stage: evidence.npz of predictions/instances/<name>.npz at mask IoU 0.5 and 0.7."""
    opened = open_set(pictures, data, split)
    named = (
        (name, load_instances(predictions / "instances", name), opened.instances(index))
        for index, name in enumerate(opened.names)
    )
    instance_ap.collect(named, len(opened.classes)).save(out / "evidence.npz")


def judge_semantic(out: Path, *, predictions: Artifact, pictures: Artifact, data: DataParams, split: str) -> None:
    """Stage: evidence.npz of predictions/semantic/<name>.png."""
    opened = open_set(pictures, data, split)
    named = (
        (name, load_labels(predictions / "semantic", name), opened.semantic(index))
        for index, name in enumerate(opened.names)
    )
    semantic.collect(named, len(opened.classes) + 1).save(out / "evidence.npz")
