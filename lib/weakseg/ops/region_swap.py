"""Post-processing by mask proposals: each mask gives way to the region that overlaps it most (MCG in the papers)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from weakseg.data.sets import DataParams, open_set
from weakseg.metrics.overlap import mask_iou
from weakseg.ops.proposals import load_proposals
from weakseg.study.artifacts import load_instances, save_instances
from weakseg.study.machine import parallel
from weakseg.study.stages import Artifact


def swapped(masks: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """For each mask (n, H, W) the region (m, H, W) of highest IoU; a mask that meets no region stays as it is."""
    overlap = mask_iou(masks, regions)
    if not overlap.size:
        return masks
    meets = overlap.max(axis=1) > 0
    return np.where(meets[:, None, None], regions[overlap.argmax(axis=1)], masks)


def swap_regions(
    out: Path, *, predictions: Artifact, regions: Artifact, pictures: Artifact, data: DataParams, split: str
) -> None:
    """Stage: instances/<name>.npz of predictions with every mask swapped for a region; labels and scores stay."""
    names = list(open_set(pictures, data, split).names)
    parallel(partial(_swap, out, predictions, regions), names, title="masks to regions")


def _swap(out: Path, predictions: Artifact, regions: Artifact, name: str) -> None:
    masks, labels, scores = load_instances(predictions / "instances", name)
    save_instances(out / "instances", name, swapped(masks, load_proposals(regions, name)), labels, scores)
