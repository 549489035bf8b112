"""Stages that hold salient instances against the truth of a split and keep what a table needs."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from weakseg.data.salient_instances import Source, open_salient
from weakseg.data.sets import DataParams
from weakseg.metrics import class_agnostic
from weakseg.study.artifacts import load_instances
from weakseg.study.stages import Artifact


def _named(predictions: Artifact, pictures: Artifact, data: DataParams, source: Source, split: str) -> Iterator:
    opened = open_salient(pictures, data, source, split)
    for index, name in enumerate(opened.names):
        masks, _, scores = load_instances(predictions / "instances", name)
        yield name, (masks, scores), opened.masks(index)


def judge_salient(
    out: Path, *, predictions: Artifact, pictures: Artifact, data: DataParams, source: Source, split: str
) -> None:
    """Stage: evidence.npz of predictions/instances/<name>.npz at mask IoU 0.5 and 0.7, over the whole set."""
    class_agnostic.collect(_named(predictions, pictures, data, source, split)).save(out / "evidence.npz")


def judge_per_picture(
    out: Path, *, predictions: Artifact, pictures: Artifact, data: DataParams, source: Source, split: str
) -> None:
    """Stage: the same picture by picture, as S4Net's evaluation does."""
    class_agnostic.collect_per_picture(_named(predictions, pictures, data, source, split)).save(out / "evidence.npz")


def judge_counts(
    out: Path, *, predictions: Artifact, pictures: Artifact, data: DataParams, source: Source, split: str
) -> None:
    """Stage: evidence.npz of the numbers of predictions/instances/<name>.npz that score above 0, and the true ones."""
    found = [
        ((scores > 0).sum(), len(truth), name)
        for name, (_, scores), truth in _named(predictions, pictures, data, source, split)
    ]
    predicted, true, names = (np.array(part) for part in zip(*found, strict=True))
    class_agnostic.CountEvidence(predicted, true, names).save(out / "evidence.npz")
