"""WISE (Laradji et al., BMVC 2019): PRM's peaks choose proposals on the training pictures, Mask R-CNN learns from them.

Simplified: a peak takes PRM's best proposal once, where WISE draws one anew in every epoch among those around the
peak, by objectness; the proposals are selective search and grouped regions in place of MCG; classes that are not tagged
are dropped.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from weakseg.baselines import prm as peak_response
from weakseg.baselines.prm import PrmParams
from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import TagView
from weakseg.nets import mask_rcnn as final
from weakseg.nets.mask_rcnn import MaskRcnnParams
from weakseg.study.artifacts import load_instances, save_instances
from weakseg.study.stages import Artifact, Store


def keep_tagged(out: Path, *, predictions: Artifact, pictures: Artifact, data: DataParams, split: str) -> None:
    """Stage: instances/<name>.npz of predictions without those of classes that the picture is not tagged with."""
    view = TagView(open_set(pictures, data, split))
    for index, name in enumerate(view.names):
        masks, labels, scores = load_instances(predictions / "instances", name)
        kept = view.tags(index)[labels] > 0
        save_instances(out / "instances", name, masks[kept], labels[kept], np.maximum(scores[kept], 0))


def pseudo_labels(
    store: Store,
    *,
    pictures: Artifact,
    init: Artifact | None,
    data: DataParams,
    prm: PrmParams,
    split: str = "trainaug",
    seed: int,
) -> Artifact:
    """Instances of tagged classes on the pictures of the split, without the final network."""
    how = {"pictures": pictures, "data": data, "split": split}
    return store(keep_tagged, predictions=peak_response.instances(store, init=init, prm=prm, seed=seed, **how), **how)


def instances(
    store: Store,
    *,
    pictures: Artifact,
    init: Artifact | None,
    final_init: Artifact | None,
    data: DataParams,
    prm: PrmParams,
    mask_rcnn: MaskRcnnParams,
    split: str,
    seed: int,
) -> Artifact:
    """Mask R-CNN trained on the pseudo labels: an artifact with instances/ of the split.

    init, final_init: runs to start PRM's and Mask R-CNN's backbone from.
    """
    labels = pseudo_labels(store, pictures=pictures, init=init, data=data, prm=prm, seed=seed)
    how = {"pictures": pictures, "init": final_init, "data": data, "mask_rcnn": mask_rcnn, "split": split, "seed": seed}
    return final.final_instances(store, labels=labels, **how)
