"""Everything that WSID-Net computed for one picture, for lessons and figures."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from weakseg.data.salient_instances import open_salient
from weakseg.metrics.overlap import mask_iou
from weakseg.nets.saliency import read_saliency
from weakseg.ops.counts import salient_instances
from weakseg.ops.displacement import end_points
from weakseg.papers.wsid_net import recipe
from weakseg.study.artifacts import load_instances, load_maps
from weakseg.study.session import Session
from weakseg.study.stages import Artifact


@dataclass(frozen=True)
class Look:
    """One picture: image uint8 (H, W, 3) and truth bool (n, H, W); on the stride-4 grid saliency and boundary (h, w) in
    [0, 1], displacement (2, h, w) in cells and centroids int (h, w), the number of the instance, 0 for none; masks bool
    (m, H, W) and scores (m,), the instances in the end."""

    image: np.ndarray
    truth: np.ndarray
    saliency: np.ndarray
    boundary: np.ndarray
    displacement: np.ndarray
    centroids: np.ndarray
    masks: np.ndarray
    scores: np.ndarray

    @property
    def count(self) -> int:
        """How many centroids are predicted."""
        return int(self.centroids.max(initial=0))


def looker(s: Session, seed: int, split: str = "test", shown: Artifact | None = None) -> Callable[[str], Look]:
    """name -> Look, for the pictures of a split; artifacts are found once. `shown` replaces the predicted saliency.

    The function that is returned raises ValueError for an unknown name.
    """
    opened = open_salient(recipe.pictures(s), s.params.data, s.params.source, split)
    fields, made = recipe.fields(s, seed, split), recipe.instances(s, seed, split, shown)
    region = recipe.saliency_maps(s, seed, split) if shown is None else shown

    def look_at(name: str) -> Look:
        if name not in opened.names:
            raise ValueError(f"{name}: no picture of {split}; it has {len(opened)}, {', '.join(opened.names[:3])}, ...")
        stored, saliency, how = load_maps(fields / "fields", name), read_saliency(region, name), s.params.instances
        boundary, displacement = (stored[key].astype(np.float32) for key in ("boundary", "displacement"))
        ends = end_points(torch.from_numpy(displacement)[None], how.iterations)[0].numpy()
        centroids = salient_instances(displacement, ends, saliency >= how.salient, how.weak, how.share)
        masks, _, scores = load_instances(made / "instances", name)
        index = opened.names.index(name)
        found = saliency, boundary, displacement, centroids, masks, scores
        return Look(opened.image(index), opened.masks(index), *found)

    return look_at


def look(s: Session, seed: int, name: str, split: str = "test", shown: Artifact | None = None) -> Look:
    """The picture `name` of a split; `shown` replaces the predicted saliency. ValueError for an unknown name."""
    return looker(s, seed, split, shown)(name)


def quality(s: Session, predictions: Artifact, split: str = "test", several: bool = False) -> dict[str, float]:
    """name -> mean over the true instances of the best IoU with an instance that scores above 0, in percent.

    several: only pictures with two instances or more. Pictures without an instance are left out.
    """
    opened = open_salient(recipe.pictures(s), s.params.data, s.params.source, split)
    found = {}
    for index, name in enumerate(opened.names):
        truth = opened.masks(index)
        if len(truth) > int(several):
            masks, _, scores = load_instances(predictions / "instances", name)
            found[name] = 100 * float(mask_iou(masks[scores > 0], truth).max(axis=0, initial=0.0).mean())
    return found


def worst_saliency(s: Session, seed: int, split: str = "test") -> str:
    """The picture of figure 8: the one whose salient region is missed most, the first of several."""
    recall = recipe.recall(s, seed, split)
    return min(recall, key=lambda name: (recall[name], name))
