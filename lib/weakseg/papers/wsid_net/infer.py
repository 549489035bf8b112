"""From fields and saliency to salient instances: centroids, the random walk from them, masks with scores."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from weakseg.baselines.saliency_filter import FilterParams, in_saliency
from weakseg.data.salient_instances import PictureView, Source, open_salient
from weakseg.data.sets import DataParams
from weakseg.metrics import class_agnostic, instance_ap
from weakseg.nets.saliency import read_saliency
from weakseg.ops.counts import salient_instances
from weakseg.ops.displacement import end_points, one_hot
from weakseg.ops.instances import Scores, WalkParams, enlarge, instances_of, propagate_all
from weakseg.papers.wsid_net.params import InstancesParams
from weakseg.study.artifacts import load_maps, save_instances, save_maps
from weakseg.study.stages import Artifact

Found = tuple[np.ndarray, np.ndarray]  # masks (n, H, W) bool, scores (n,)
CHUNK = 32


def start_rows(
    saliency: np.ndarray, displacement: np.ndarray, ends: np.ndarray, instances: InstancesParams
) -> np.ndarray:
    """Saliency (h, w), one row for each instance that the centroids in the salient region make: (t, h, w).

    displacement, ends: (2, h, w). No salient cell: t = 0. A salient region without a centroid: one row.
    """
    region = saliency >= instances.salient
    numbers = salient_instances(displacement, ends, region, instances.weak, instances.share)
    return one_hot(numbers) * saliency  # (t, h, w)


def walked_rows(rows: list[np.ndarray], boundaries: np.ndarray, walk: WalkParams) -> list[np.ndarray]:
    """The random walk from every row (t, h, w) of pictures of one grid, stopped by boundaries (B, h, w)."""
    scores = [Scores(values, np.zeros(len(values), np.int64)) for values in rows]
    return [done.values for done in propagate_all(scores, boundaries, walk)]


def walk_instances(
    out: Path,
    *,
    fields: Artifact,
    saliency: Artifact,
    pictures: Artifact,
    data: DataParams,
    source: Source,
    split: str,
    walk: WalkParams,
    instances: InstancesParams,
) -> None:
    """Stage: walked/<name>.npz with one row of scores for each instance of a picture, (t, h, w), and its size.

    t is the number of centroids that is predicted.
    """
    view = PictureView(open_salient(pictures, data, source, split))
    for positions, boundaries, displacements in _same_grid(fields, view):
        ends = end_points(torch.from_numpy(displacements), instances.iterations).numpy()
        shown = [read_saliency(saliency, view.names[p]) for p in positions]
        rows = [start_rows(*one, instances) for one in zip(shown, displacements, ends, strict=True)]
        for position, walked in zip(positions, walked_rows(rows, boundaries, walk), strict=True):
            size = np.array(view.image(position).shape[:2])
            save_maps(out / "walked", view.names[position], rows=walked.astype(np.float16), size=size)


def _same_grid(fields: Artifact, view: PictureView) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
    """Positions, boundaries (B, h, w) and displacements (B, 2, h, w) of pictures of one grid, at most CHUNK at once."""
    waiting: dict[tuple, list[tuple[int, dict]]] = {}
    for position, name in enumerate(view.names):
        stored = load_maps(fields / "fields", name)
        group = waiting.setdefault(stored["boundary"].shape, [])
        group.append((position, stored))
        if len(group) == CHUNK:
            yield _stacked(waiting.pop(stored["boundary"].shape))
    yield from map(_stacked, waiting.values())


def _stacked(group: list[tuple[int, dict]]) -> tuple[list[int], np.ndarray, np.ndarray]:
    fields = (np.stack([stored[key] for _, stored in group]) for key in ("boundary", "displacement"))
    return [position for position, _ in group], *(field.astype(np.float32) for field in fields)


def read_rows(walked: Artifact, name: str) -> tuple[np.ndarray, tuple[int, int]]:
    """Rows float32 (t, h, w) of one picture and its size (H, W)."""
    stored = load_maps(walked / "walked", name)
    return stored["rows"].astype(np.float32), tuple(int(side) for side in stored["size"])


def instances_from(rows: np.ndarray, size: tuple[int, int], background: float, smallest: float) -> Found:
    """Masks and scores of rows (t, h, w) at the picture's `size`; none for t = 0. Rules as ops.instances_of."""
    scores = enlarge(rows, size)
    masks, _, values = instances_of(scores, np.zeros(len(rows), np.int64), background, smallest)
    return masks, values


def choose_background(
    out: Path,
    *,
    walked: Artifact,
    saliency: Artifact | None = None,
    pictures: Artifact,
    data: DataParams,
    source: Source,
    instances: InstancesParams,
    saliency_filter: FilterParams | None = None,
) -> None:
    """Stage: chosen.json: grid, AP50 on the set-aside pictures at every background score, and the best one.

    saliency, saliency_filter: for a method whose instances are filtered in the end (IRN in table 1): the choice is made
    on what is left of them. This stage and those that judge see masks, no other.
    """
    opened = open_salient(pictures, data, source, "tune")
    rows = [read_rows(walked, name) for name in opened.names]
    truth = [opened.masks(index) for index in range(len(opened))]
    shown = [read_saliency(saliency, name) for name in opened.names] if saliency_filter else []
    ap50 = []
    for background in instances.grid:
        found = [instances_from(*one, background, instances.smallest) for one in rows]
        if saliency_filter is not None:
            found = [_kept(*one, saliency_filter) for one in zip(found, shown, strict=True)]
        evidence = class_agnostic.collect(zip(opened.names, found, truth, strict=True), (0.5,))
        ap50.append(instance_ap.mean_ap(evidence, 0.5))
    best = instances.grid[int(np.argmax(ap50))]
    (out / "chosen.json").write_text(json.dumps({"grid": instances.grid, "ap50": ap50, "background": best}, indent=1))


def _kept(found: Found, saliency: np.ndarray, how: FilterParams) -> Found:
    """What baselines.saliency_filter leaves of a picture's instances; saliency (h, w)."""
    masks, scores = found
    kept = in_saliency(masks, saliency, how)
    return masks[kept], scores[kept]


def make_instances(
    out: Path,
    *,
    walked: Artifact,
    chosen: Artifact | None,
    pictures: Artifact,
    data: DataParams,
    source: Source,
    split: str,
    instances: InstancesParams,
) -> None:
    """Stage: instances/<name>.npz of every picture. chosen: of `choose_background`, None takes the fixed score."""
    background = instances.background
    if chosen is not None:
        background = json.loads((chosen / "chosen.json").read_text())["background"]
    for name in PictureView(open_salient(pictures, data, source, split)).names:
        masks, scores = instances_from(*read_rows(walked, name), background, instances.smallest)
        save_instances(out / "instances", name, masks, np.zeros(len(masks), np.int64), scores)
