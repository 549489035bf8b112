"""Selective-search boxes, found once for every picture and kept: what a multiple-instance detector chooses among."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from torchvision.ops import nms

from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import BoxView, TagView
from weakseg.metrics.overlap import box_iou
from weakseg.ops.proposals import SearchMode, selective_search
from weakseg.study.artifacts import load_maps, save_maps
from weakseg.study.machine import parallel
from weakseg.study.params import Group
from weakseg.study.stages import Artifact

RECALL_AT = (0.5, 0.7)


class BoxProposalParams(Group):
    """Which boxes stay. Defaults: selective search "fast", as many as it finds up to 2000 (the paper gives no number).

    smallest: side in pixels below which a box is dropped. distinct: a box is dropped whose IoU with a larger one that
    stays is higher. limit: boxes per picture; a picture with more keeps evenly many of every size, because the largest
    alone would leave small objects without a box.
    """

    mode: SearchMode = "fast"
    smallest: float = Field(20.0, ge=1)
    distinct: float = Field(1.0, gt=0, le=1)
    limit: int = Field(2000, ge=1)


def chosen_boxes(found: np.ndarray, how: BoxProposalParams) -> np.ndarray:
    """Those boxes (m, 4) of `found` (n, 4), largest first, that stay; m may be 0."""
    large = found[(found[:, 2:] - found[:, :2]).min(axis=1, initial=np.inf) >= how.smallest]
    area = (large[:, 2:] - large[:, :2]).prod(axis=1)
    kept = nms(torch.from_numpy(large), torch.from_numpy(area), how.distinct).sort().values.numpy()
    every = np.linspace(0, len(kept) - 1, min(how.limit, len(kept))).round().astype(np.int64)
    return large[kept[every]]


def search_boxes(out: Path, *, pictures: Artifact, data: DataParams, split: str, boxes: BoxProposalParams) -> None:
    """Stage: writes boxes/<name>.npz for every picture of the split. Looks at photos only.

    Pictures in which nothing is found are named; `load_boxes` gives them the whole picture.
    """
    view = TagView(open_set(pictures, data, split))
    items = [(name, view.image(index)) for index, name in enumerate(view.names)]
    counts = parallel(partial(_write_boxes, out / "boxes", boxes), items, title="selective search")
    empty = [name for name, count in zip(view.names, counts, strict=True) if not count]
    if empty:
        print(f"selective search: {len(empty)} pictures without a box ({', '.join(empty[:3])}...); each counts as one")
    facts = {"pictures": len(counts), "empty": len(empty), "mean": float(np.mean(counts)), "most": max(counts)}
    (out / "counts.json").write_text(json.dumps(facts))


def _write_boxes(folder: Path, how: BoxProposalParams, item: tuple[str, np.ndarray]) -> int:
    name, image = item
    found = chosen_boxes(selective_search(image, how.mode), how)
    save_maps(folder, name, boxes=found, size=np.array(image.shape[:2]))
    return len(found)


def load_boxes(artifact: Artifact, name: str) -> np.ndarray:
    """Proposals float32 (n, 4) of a picture; the whole picture where there is none, so n is at least 1."""
    stored = load_maps(artifact / "boxes", name)
    height, width = stored["size"].tolist()
    return stored["boxes"] if len(stored["boxes"]) else np.array([[0, 0, width, height]], np.float32)


def judge_recall(out: Path, *, proposals: Artifact, pictures: Artifact, data: DataParams, split: str) -> None:
    """Stage: recall.json: share of the true boxes that some proposal reaches, in percent; proposals per picture.

    Not part of any method: it says what a detector could find at most.
    """
    view = BoxView(open_set(pictures, data, split))
    best, counts = [], []
    for index, name in enumerate(view.names):
        found = load_boxes(proposals, name)
        truth = np.array([[box.x0, box.y0, box.x1, box.y1] for box in view.boxes(index)]).reshape(-1, 4)
        best.append(box_iou(found, truth).max(axis=0))
        counts.append(len(found))
    reached = np.concatenate(best)
    recall = {f"recall{100 * at:.0f}": 100 * float((reached >= at).mean()) for at in RECALL_AT if len(reached)}
    (out / "recall.json").write_text(json.dumps({**recall, "mean": float(np.mean(counts)), "objects": len(reached)}))
