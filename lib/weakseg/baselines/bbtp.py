"""BBTP (Hsu et al., NeurIPS 2019): Mask R-CNN whose mask head learns from bags of rows and columns of each RoI.

Its paper reports the predicted masks as they are and refined by a dense CRF; both are here.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torchvision.models.detection import MaskRCNN

from weakseg.baselines.from_boxes import box_reader, chosen_logits, train_and_detect
from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import TagView
from weakseg.nets import augment
from weakseg.nets.box_mask_rcnn import BoxHeads, boxes_in_rois, fit_on_boxes
from weakseg.nets.final import boxes_of, trained
from weakseg.nets.mask_rcnn import MaskRcnnParams, build_mask_rcnn
from weakseg.ops.bags import filled_boxes, mil_loss, neighbour_loss
from weakseg.ops.crf import CrfParams, refine
from weakseg.study.artifacts import save_instances
from weakseg.study.machine import device, parallel
from weakseg.study.params import Group
from weakseg.study.stages import Artifact, Store

SMOOTH = 0.05
Window = tuple[slice, slice]  # rows and columns of a picture
Part = tuple[Window, np.ndarray]  # a window and what stands in it


class BbtpParams(Group):
    """What is done to the predicted masks; the training knows nothing of it.

    crf: the dense CRF behind the network, null for none; 5 iterations as in the released code, whose weights belong to
    another toolbox and cannot be carried over: the default has those of IRN's label CRF. margin: share of an object's
    sides that the CRF sees around it. score: masks of detections with a lower score stay as they are, to save time.
    """

    crf: CrfParams | None = CrfParams(iterations=5)
    margin: float = Field(0.25, ge=0)
    score: float = Field(0.0, ge=0, le=1)


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


def predict_refined(
    out: Path,
    *,
    model: Artifact,
    pictures: Artifact,
    data: DataParams,
    split: str,
    mask_rcnn: MaskRcnnParams,
    bbtp: BbtpParams,
) -> None:
    """Stage: as `nets.mask_rcnn.predict_mask_rcnn`, each mask refined by `bbtp.crf`: instances/<name>.npz."""
    view = TagView(open_set(pictures, data, split))
    net = trained(build_mask_rcnn(mask_rcnn, len(view.classes), pretrained=False), model)
    images = (view.image(index) for index in range(len(view.names)))
    items = []
    for positions, batch in augment.same_size_batches(images, mask_rcnn.training.batch_size):
        for position, found in zip(positions, detect_chances(net, batch, bbtp.margin), strict=True):
            items.append((view.names[position], view.image(position), *found))
    write = partial(_write_refined, out / "instances", bbtp, mask_rcnn.test.mask_threshold)
    parallel(write, items, title="BBTP masks")


@torch.inference_mode()
def detect_chances(model: MaskRCNN, pictures: Tensor, margin: float) -> list[tuple[list[Part], np.ndarray, np.ndarray]]:
    """pictures (B, 3, H, W) in [0, 1] -> per picture its n objects, labels (n,) from 0, scores (n,).

    An object is a window and the probability float32 (h, w) that the window's pixels are in the mask; outside it is 0.
    """
    every = []
    for found in model(list(pictures.to(device()))):
        chances = found["masks"][:, 0].cpu().numpy()  # (n, H, W)
        windows = [window_of(chance, margin) for chance in chances]
        # Copies, so that of all pictures the windows alone are kept.
        parts = [(window, chance[window].copy()) for window, chance in zip(windows, chances, strict=True)]
        every.append((parts, (found["labels"] - 1).cpu().numpy(), found["scores"].cpu().numpy()))
    return every


def window_of(chance: np.ndarray, margin: float) -> Window:
    """The tight box of what is not 0 in a map (H, W), `margin` times its sides wider on each side, within the map."""
    H, W = chance.shape
    x0, y0, x1, y1 = boxes_of(chance[None] > 0)[0].astype(int)
    across, down = round(margin * (x1 - x0)), round(margin * (y1 - y0))
    return np.s_[max(0, y0 - down) : min(H, y1 + down), max(0, x0 - across) : min(W, x1 + across)]


def refined_mask(image: np.ndarray, chance: np.ndarray, crf: CrfParams) -> np.ndarray:
    """Object bool (h, w) by the dense CRF on a window of a picture uint8 (h, w, 3), unary -log of chance and 1 - chance
    (h, w).
    """
    return refine(np.ascontiguousarray(image), np.stack([1 - chance, chance]), crf).argmax(0) == 1


def _write_refined(folder: Path, bbtp: BbtpParams, threshold: float, item: tuple) -> None:
    name, image, objects, labels, scores = item
    masks = np.zeros((len(objects), *image.shape[:2]), bool)
    for mask, (window, chance), score in zip(masks, objects, scores, strict=True):
        by_colour = chance.size and score >= bbtp.score
        mask[window] = refined_mask(image[window], chance, bbtp.crf) if by_colour else chance >= threshold
    save_instances(folder, name, masks, labels, scores)


def refined_instances(store: Store, net: MaskRcnnParams, bbtp: BbtpParams, **given: Any) -> Artifact:
    """The same training as without a CRF, and its predictions refined: an artifact with instances/ of the split.

    given: as `from_boxes.train_and_detect` takes it. Without `bbtp.crf` they are the predictions as they are.
    """
    how = {"detect": predict_refined, "detect_params": {"bbtp": bbtp}} if bbtp.crf else {}
    return train_and_detect(store, train_bbtp, net, **given, **how)
