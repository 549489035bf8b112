"""Stages from fields to pseudo labels: the background score of every row, the labels, and their evaluation."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from weakseg.data.coco import PictureSet
from weakseg.data.sets import DataParams, open_set
from weakseg.metrics import instance_ap, semantic
from weakseg.nets.classifier import read_cams
from weakseg.ops import instances as instance_ops
from weakseg.ops.cam import Cams
from weakseg.ops.displacement import end_points
from weakseg.ops.instances import Scores, WalkParams
from weakseg.papers.irn.params import LabelsParams, Variant
from weakseg.study.artifacts import load_maps, save_instances, save_labels
from weakseg.study.machine import parallel
from weakseg.study.stages import Artifact

CHUNK = 32
WITH_WALK = ("boundary", "full")
WITH_INSTANCES = ("displacement", "full")


@dataclass(frozen=True)
class Source:
    """What pseudo labels of one row are made from; `fields` is needed by every variant but "cam"."""

    variant: Variant
    cams: Artifact
    fields: Artifact | None
    walk: WalkParams
    labels: LabelsParams


@dataclass(frozen=True)
class Ready:
    """Scores of one picture at its full size: rows for instances, rows for classes."""

    name: str
    instances: Scores
    classes: Scores


# ---------------------------------------------------------------- scores


def full_scores(source: Source, names: list[str]) -> list[Ready]:
    """Scores of the named pictures under a variant:

        cam           class attention                         -> connected components of classes
        boundary      class attention, random walk            -> connected components of classes
        displacement  instance-wise attention                 -> instances
        full          instance-wise attention, random walk    -> instances

    Semantic scores are the class attention, walked where the variant walks.
    """
    cams = [read_cams(source.cams, name) for name in names]
    if source.variant == "cam":
        return [Ready(name, _high(c), _high(c)) for name, c in zip(names, cams, strict=True)]
    fields = [load_maps(source.fields / "fields", name) for name in names]
    by_grid: dict[tuple, list[int]] = {}
    for position, c in enumerate(cams):
        by_grid.setdefault(c.low.shape[1:], []).append(position)
    done: dict[int, Ready] = {}
    for positions in by_grid.values():
        chosen = [names[p] for p in positions], [cams[p] for p in positions], [fields[p] for p in positions]
        done.update(zip(positions, _same_grid(source, *chosen), strict=True))
    return [done[position] for position in range(len(names))]


def _high(cams: Cams) -> Scores:
    return Scores(cams.high, cams.classes)


def _same_grid(source: Source, names: list[str], cams: list[Cams], fields: list[dict]) -> list[Ready]:
    rows = classes = [instance_ops.class_scores(c) for c in cams]
    if source.variant in WITH_INSTANCES:
        displacement = np.stack([f["displacement"] for f in fields]).astype(np.float32)
        ends = end_points(torch.from_numpy(displacement), source.labels.iterations).numpy()
        together = zip(cams, displacement, ends, strict=True)
        rows = [instance_ops.instance_scores(*one, source.labels.weak, source.labels.faithful) for one in together]
    if source.variant in WITH_WALK:
        rows, classes = _walked(source, rows, classes, np.stack([f["boundary"] for f in fields]).astype(np.float32))
    sizes = [c.high.shape[1:] for c in cams]
    if source.variant in WITH_WALK:
        maps = [_enlarged(row, size) for row, size in zip(classes, sizes, strict=True)]
    else:
        maps = [_high(c) for c in cams]
    instances = [_enlarged(row, size) for row, size in zip(rows, sizes, strict=True)]
    return [Ready(*one) for one in zip(names, instances, maps, strict=True)]


def _walked(source: Source, rows: list[Scores], classes: list[Scores], boundary: np.ndarray):
    """Both kinds of rows in one walk, since they share the transition."""
    both = [Scores(np.concatenate([a.values, b.values]), a.classes) for a, b in zip(rows, classes, strict=True)]
    walked = instance_ops.propagate_all(both, boundary, source.walk)
    cut = [len(row.values) for row in rows]
    return (
        [Scores(w.values[:n], row.classes) for w, n, row in zip(walked, cut, rows, strict=True)],
        [Scores(w.values[n:], row.classes) for w, n, row in zip(walked, cut, classes, strict=True)],
    )


def _enlarged(row: Scores, size: tuple[int, int]) -> Scores:
    return Scores(instance_ops.enlarge(row.values, size), row.classes)


# ---------------------------------------------------------------- the background score


@dataclass(frozen=True)
class Backgrounds:
    """Background scores of one row: for instances (chosen by AP50) and for label maps (chosen by mIoU)."""

    instances: float
    semantic: float


def read_backgrounds(chosen: Artifact | None, variant: Variant, labels: LabelsParams) -> Backgrounds:
    """The chosen scores, or the fixed ones of `labels` where nothing was chosen."""
    if chosen is not None:
        found = json.loads((chosen / "chosen.json").read_text())
        return Backgrounds(found["instances"], found["semantic"])
    plain = labels.cam_background if variant in ("cam", "displacement") else labels.background
    return Backgrounds(labels.background, plain)


def choose_backgrounds(
    out: Path,
    *,
    pictures: Artifact,
    cams: Artifact,
    fields: Artifact | None,
    data: DataParams,
    split: str,
    walk: WalkParams,
    labels: LabelsParams,
    variant: Variant,
) -> None:
    """Stage: for every background score of `labels.grid` the AP50 and mIoU of the labels on the set-aside pictures.

    Writes chosen.json: grid, ap50, miou, and the best of each. This stage, and no other that makes labels, sees masks.
    """
    opened = open_set(pictures, data, split)
    source = Source(variant, cams, fields, walk, labels)
    job = functools.partial(_judge_chunk, opened, source)
    parts = parallel(job, _chunks(len(opened)), title=f"background score, {variant}")
    ap = [instance_ap.mean_ap(_merged([p[0][k] for p in parts]), 0.5) for k in range(len(labels.grid))]
    confusion = [sum(p[1][k] for p in parts) for k in range(len(labels.grid))]
    miou = [semantic.mean_iou(semantic.SemanticEvidence(c[None], np.array(["all"]))) for c in confusion]
    best = {"instances": labels.grid[int(np.argmax(ap))], "semantic": labels.grid[int(np.argmax(miou))]}
    (out / "chosen.json").write_text(json.dumps({"grid": labels.grid, "ap50": ap, "miou": miou, **best}, indent=1))


def _chunks(count: int) -> list[range]:
    return [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]


def _judge_chunk(opened: PictureSet, source: Source, chunk: range):
    """Instance evidence and confusion of a few pictures at every background score."""
    ready = full_scores(source, [opened.names[index] for index in chunk])
    truths = [opened.instances(index) for index in chunk]
    maps = [opened.semantic(index) for index in chunk]
    C = len(opened.classes)
    evidence, confusion = [], []
    for background in source.labels.grid:
        found = [_instances(one, background, source.labels) for one in ready]
        named = zip([one.name for one in ready], found, truths, strict=True)
        evidence.append(instance_ap.collect(named, C, (0.5,)))
        labelled = [instance_ops.semantic_of(one.classes.values, one.classes.classes, background) for one in ready]
        named = zip([one.name for one in ready], labelled, maps, strict=True)
        confusion.append(semantic.collect(named, C + 1).confusion.sum(0))
    return evidence, confusion


def _merged(parts: list[instance_ap.InstanceEvidence]) -> instance_ap.InstanceEvidence:
    starts = np.cumsum([0, *(len(part.names) for part in parts)])
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("label", "score", "matched")}
    return instance_ap.InstanceEvidence(
        image=np.concatenate([part.image + start for part, start in zip(parts, starts[:-1], strict=True)]),
        truth_count=np.concatenate([part.truth_count for part in parts]),
        names=np.concatenate([part.names for part in parts]),
        thresholds=parts[0].thresholds,
        **joined,
    )


# ---------------------------------------------------------------- labels


def _instances(ready: Ready, background: float, labels: LabelsParams) -> instance_ops.Instances:
    return instance_ops.instances_of(ready.instances.values, ready.instances.classes, background, labels.smallest)


def _write_chunk(names: list[str], source: Source, backgrounds: Backgrounds, out: Path, chunk: range) -> None:
    for ready in full_scores(source, [names[index] for index in chunk]):
        save_instances(out / "instances", ready.name, *_instances(ready, backgrounds.instances, source.labels))
        classes = ready.classes
        label = instance_ops.semantic_of(classes.values, classes.classes, backgrounds.semantic)
        save_labels(out / "semantic", ready.name, label)


def make_labels(
    out: Path,
    *,
    pictures: Artifact,
    cams: Artifact,
    fields: Artifact | None,
    chosen: Artifact | None,
    data: DataParams,
    split: str,
    walk: WalkParams,
    labels: LabelsParams,
    variant: Variant,
) -> None:
    """Stage: instances/<name>.npz and semantic/<name>.png of every picture of the split."""
    names = list(open_set(pictures, data, split).names)
    source = Source(variant, cams, fields, walk, labels)
    job = functools.partial(_write_chunk, names, source, read_backgrounds(chosen, variant, labels), out)
    parallel(job, _chunks(len(names)), title=f"pseudo labels, {variant}")
