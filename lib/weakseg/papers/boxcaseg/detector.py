"""The proxy Mask R-CNN: given boxes, proxy masks, and no loss on masks that do not fit their box (section 3.4)."""

import json
from pathlib import Path

import numpy as np

from weakseg.data.sets import DataParams, open_set
from weakseg.metrics import instance_ap
from weakseg.metrics.coco import coco_ap
from weakseg.nets.box_mask_rcnn import IgnoringHeads, box_maps, fit_on_boxes
from weakseg.nets.mask_rcnn import MaskRcnnParams
from weakseg.papers.boxcaseg.stages import read_boxes
from weakseg.study.artifacts import load_instances
from weakseg.study.places import write_text
from weakseg.study.stages import Artifact

THRESHOLDS = (0.25, 0.5, 0.7, 0.75)  # of table 1


def train_proxy_rcnn(
    out: Path,
    *,
    pictures: Artifact,
    proxies: Artifact,
    init: Artifact | None,
    weights: Artifact | None,
    data: DataParams,
    mask_rcnn: MaskRcnnParams,
    split: str = "trainaug",
    drop: float | None,
    seed: int,
) -> None:
    """Stage: trains on the boxes and masks of finished proxies; writes model.safetensors and log.csv.

    drop: masks whose agreement with their box is `drop` or less teach nothing; their boxes and classes do. None: all
    masks teach. init, weights: as in `nets.mask_rcnn.train_mask_rcnn`.
    """
    names = open_set(pictures, data, split).names

    def read(index: int) -> tuple[np.ndarray, np.ndarray]:
        masks, labels, fit = load_instances(proxies / "instances", names[index])
        known = None if drop is None else fit > drop
        return box_maps(read_boxes(proxies, names[index]), masks.shape[1:], masks, known), labels

    given = {"pictures": pictures, "init": init, "weights": weights, "data": data, "mask_rcnn": mask_rcnn}
    fit_on_boxes(out, IgnoringHeads, read, **given, split=split, seed=seed, title="proxy Mask R-CNN")


def judge_detections(out: Path, *, predictions: Artifact, pictures: Artifact, data: DataParams, split: str) -> None:
    """Stage: evidence.npz of predictions/instances/<name>.npz at the thresholds of table 1, and coco.json, the summary
    of the COCO evaluation (percent; null where the set has no object of that size)."""
    view = open_set(pictures, data, split)

    def found():  # read twice, one picture at a time: all masks of COCO's val do not fit in memory
        for index, name in enumerate(view.names):
            yield name, load_instances(predictions / "instances", name), view.instances(index)

    instance_ap.collect(found(), len(view.classes), THRESHOLDS).save(out / "evidence.npz")
    summary = {name: None if np.isnan(value) else value for name, value in coco_ap(found(), len(view.classes)).items()}
    write_text(out / "coco.json", json.dumps(summary, indent=1) + "\n")
