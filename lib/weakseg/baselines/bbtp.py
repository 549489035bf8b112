"""BBTP (Hsu et al., NeurIPS 2019): Mask R-CNN whose mask head learns from bags of rows and columns of each RoI."""

from pathlib import Path

from torch import Tensor

from weakseg.baselines.from_boxes import box_reader, chosen_logits
from weakseg.data.sets import DataParams
from weakseg.nets.box_mask_rcnn import BoxHeads, boxes_in_rois, fit_on_boxes
from weakseg.nets.mask_rcnn import MaskRcnnParams
from weakseg.ops.bags import filled_boxes, mil_loss, neighbour_loss
from weakseg.study.stages import Artifact

SMOOTH = 0.05


class BagHeads(BoxHeads):
    """Each line of a RoI is a bag; it is positive when the matched box covers any part of it."""

    def mask_loss(
        self, logits: Tensor, rois: list[Tensor], matched: list[Tensor], targets: list[dict[str, Tensor]]
    ) -> Tensor:
        """Mean cross entropy over the bags of the positive RoIs, plus the smooth term as in BoxCaseg eq. 2."""
        R, _, side, _ = logits.shape
        if not R:
            return logits.sum()
        own = chosen_logits(logits, matched, targets)
        inside = filled_boxes(boxes_in_rois(rois, matched, [t["boxes"] for t in targets], side), side, side)
        return mil_loss(own, inside) + SMOOTH * neighbour_loss(own)


def train_bbtp(
    out: Path,
    *,
    pictures: Artifact,
    init: Artifact | None = None,
    weights: Artifact | None = None,
    data: DataParams,
    mask_rcnn: MaskRcnnParams,
    split: str = "trainaug",
    seed: int,
) -> None:
    """Stage: trains on boxes alone; init, weights: as in `nets.mask_rcnn.train_mask_rcnn`.

    Writes model.safetensors, which predicts as any Mask R-CNN, and log.csv.
    """
    read = box_reader(pictures, data, split)
    given = {"pictures": pictures, "init": init, "weights": weights, "data": data, "mask_rcnn": mask_rcnn}
    fit_on_boxes(out, BagHeads, read, **given, split=split, seed=seed, title="BBTP")
