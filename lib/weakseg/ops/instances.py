"""From fields and attention to instances and label maps (IRN section 5)."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field

from weakseg.ops.cam import EPSILON, Cams, label_map
from weakseg.ops.displacement import instance_map, one_hot
from weakseg.ops.random_walk import propagate
from weakseg.study.params import Group

Instances = tuple[np.ndarray, np.ndarray, np.ndarray]


class WalkParams(Group):
    """Random walk. interior: scores start multiplied by (1 - boundary)."""

    radius: int = Field(5, ge=2)
    beta: float = Field(10.0, gt=0)
    steps: int = Field(256, ge=0)
    interior: bool = True


@dataclass(frozen=True)
class Scores:
    """Rows of scores on the grid with the class of each: values (n, h, w), classes (n,) 0-based."""

    values: np.ndarray
    classes: np.ndarray


# ---------------------------------------------------------------- scores on the grid


def class_scores(cams: Cams) -> Scores:
    """The class attention itself, one row a class."""
    return Scores(cams.low, cams.classes)


def instance_scores(cams: Cams, displacement: np.ndarray, ends: np.ndarray, weak: float, keep_rest: bool) -> Scores:
    """Instance-wise attention: every class map times every instance of the class-agnostic map, class-major.

    displacement, ends: (2, h, w), weak and keep_rest as for ops.displacement.instance_map.
    """
    planes = one_hot(instance_map(displacement, ends, weak, keep_rest))
    n, (m, h, w) = len(cams.classes), planes.shape
    values = (cams.low[:, None] * planes[None]).reshape(n * m, h, w)
    return Scores(values, np.repeat(cams.classes, m))


def propagate_all(rows: list[Scores], boundaries: np.ndarray, walk: WalkParams) -> list[Scores]:
    """The random walk on pictures of one grid size together; boundaries (B, h, w). Rows of zeros fill the batch up."""
    most = max(len(row.values) for row in rows)
    batch = np.stack([np.pad(row.values, [(0, most - len(row.values)), (0, 0), (0, 0)]) for row in rows])
    if walk.interior:
        batch = batch * (1 - boundaries[:, None])
    walked = propagate(batch.astype(np.float32), boundaries, walk.radius, walk.beta, walk.steps)
    return [Scores(done[: len(row.values)], row.classes) for done, row in zip(walked, rows, strict=True)]


# ---------------------------------------------------------------- labels


def enlarge(values: np.ndarray, size: tuple[int, int], stride: int = 4) -> np.ndarray:
    """Grid rows (n, h, w) at the picture's size: bilinear by the stride, cut, divided by the maximum over all rows."""
    if not len(values):
        return np.zeros((0, *size), np.float32)
    full = F.interpolate(
        torch.from_numpy(np.ascontiguousarray(values, np.float32))[None],
        scale_factor=stride,
        mode="bilinear",
        align_corners=False,
    )[0, :, : size[0], : size[1]].numpy()
    return full / (full.max() + EPSILON)


def instances_of(scores: np.ndarray, classes: np.ndarray, background: float, smallest: float) -> Instances:
    """Pixels take their highest score (or background); every row's area is split into 4-connected components.

    scores: (n, H, W), classes: (n,). A component's score is the maximum of its row inside it, 0 when it is smaller than
    the share `smallest` of the picture. Returns masks (m, H, W), labels (m,), scores (m,); m may be 0.
    """
    chosen = label_map(scores, background)
    H, W = chosen.shape
    masks, labels, values = [], [], []
    for row in np.unique(chosen[chosen > 0]) - 1:
        count, parts, facts, _ = cv2.connectedComponentsWithStats((chosen == row + 1).astype(np.uint8), connectivity=4)
        for part in range(1, count):
            masks.append(parts == part)
            labels.append(classes[row])
            large = facts[part, cv2.CC_STAT_AREA] >= smallest * H * W
            values.append(scores[row][masks[-1]].max() if large else 0.0)
    return np.array(masks, bool).reshape(-1, H, W), np.array(labels, np.int64), np.array(values, np.float32)


def semantic_of(scores: np.ndarray, classes: np.ndarray, background: float) -> np.ndarray:
    """Label map uint8 (H, W), 0 background, c + 1 class c, of class scores (n, H, W)."""
    names = np.concatenate([[0], np.asarray(classes, np.int64) + 1]).astype(np.uint8)
    return names[label_map(scores, background)]
