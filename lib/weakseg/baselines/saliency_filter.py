"""Keeps those instances that lie in the salient region: how WSID-Net makes IRN and DeepMask answer its question.

The paper keeps proposals whose IoU with the salient mask of WSS is 0.75 or more (section 4.3). Taken by the word, that
drops every instance of a picture with several: the union of two equal instances has an IoU of one half with either.
`measure` has both readings. WSS, a saliency net trained on tags, is this study's own saliency branch.
"""

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from pydantic import Field

from weakseg.study.artifacts import load_instances, load_maps, save_instances
from weakseg.study.params import Group
from weakseg.study.stages import Artifact


class FilterParams(Group):
    """salient: saliency from which a pixel counts. threshold: smallest agreement of a kept instance.

    measure: "inside" is the share of the instance that is salient; "iou" the paper's word, intersection over union with
    the whole salient region.
    """

    salient: float = Field(0.5, gt=0, lt=1)
    threshold: float = Field(0.75, ge=0, le=1)
    measure: Literal["inside", "iou"] = "inside"


def agreement(masks: np.ndarray, region: np.ndarray, measure: Literal["inside", "iou"]) -> np.ndarray:
    """Agreement (n,) in [0, 1] of masks bool (n, H, W) with the salient region bool (H, W); 0 for an empty mask."""
    flat, salient = masks.reshape(len(masks), region.size), region.ravel()
    both, area = (flat & salient).sum(1), flat.sum(1)
    whole = area if measure == "inside" else area + salient.sum() - both
    return both / np.maximum(whole, 1)


def region_at(saliency: np.ndarray, size: tuple[int, int], salient: float) -> np.ndarray:
    """Salient pixels bool (H, W) of a picture of `size` from saliency (h, w), enlarged bilinearly."""
    return cv2.resize(saliency.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR) >= salient


def in_saliency(masks: np.ndarray, saliency: np.ndarray, how: FilterParams) -> np.ndarray:
    """Which (n,) of masks bool (n, H, W) agree well enough with the picture's saliency (h, w)."""
    return agreement(masks, region_at(saliency, masks.shape[1:], how.salient), how.measure) >= how.threshold


def keep_salient(out: Path, *, predictions: Artifact, saliency: Artifact, saliency_filter: FilterParams) -> None:
    """Stage: instances/<name>.npz with those of the predictions that agree with the saliency of their picture.

    predictions: instances/<name>.npz; saliency: saliency/<name>.npz of the same pictures, which gives the list.
    """
    for file in sorted((saliency / "saliency").glob("*.npz")):
        masks, _, scores = load_instances(predictions / "instances", file.stem)
        shown = load_maps(saliency / "saliency", file.stem)["saliency"]
        kept = in_saliency(masks, shown, saliency_filter)
        save_instances(out / "instances", file.stem, masks[kept], np.zeros(kept.sum(), np.int64), scores[kept])
