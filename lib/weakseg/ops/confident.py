"""Confident areas of class attention, the only places that pairs of pixels are taken from (IRN section 4.2)."""

import numpy as np
from pydantic import Field

from weakseg.ops.affinity import IGNORED
from weakseg.ops.cam import label_map
from weakseg.ops.crf import CrfParams, refine_labels
from weakseg.study.params import Group


class RelationParams(Group):
    """Confident areas. `crf: null` is the ablation that takes thresholded attention as it is."""

    foreground: float = Field(0.30, gt=0, lt=1)
    background: float = Field(0.05, gt=0, lt=1)
    crf: CrfParams | None = CrfParams()


def confident(image: np.ndarray, cams: np.ndarray, threshold: float, crf: CrfParams | None) -> np.ndarray:
    """Label map (H, W), 0 background, k + 1 for cams[k]: attention above `threshold`, refined as hard labels."""
    labels = label_map(cams, threshold)
    return labels if crf is None else refine_labels(image, labels, len(cams) + 1, crf).argmax(0)


def relation_map(image: np.ndarray, cams: np.ndarray, classes: np.ndarray, relation: RelationParams) -> np.ndarray:
    """Confident areas, uint8 (H, W): class c + 1 where the map of the high threshold says so, background where the maps
    of both thresholds do, 255 elsewhere. cams: (n, H, W) of the tagged classes (n,)."""
    high = confident(image, cams, relation.foreground, relation.crf)
    low = confident(image, cams, relation.background, relation.crf)
    names = np.concatenate([[0], classes + 1]).astype(np.uint8)
    return np.where((high == 0) & (low != 0), IGNORED, names[high]).astype(np.uint8)
