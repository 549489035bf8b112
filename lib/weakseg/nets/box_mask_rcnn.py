"""Mask R-CNN on given boxes whose mask loss is not the usual one: masks that may be ignored, or no masks at all.

Everything but the mask loss is torchvision's. The weights have the names that torchvision gives them, so that a network
trained here predicts as an ordinary Mask R-CNN (nets.mask_rcnn.predict_mask_rcnn).
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.roi_heads import RoIHeads, maskrcnn_loss

from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import TagView
from weakseg.nets.final import InstanceSet, collate_instances, fit_final, with_file
from weakseg.nets.mask_rcnn import MaskRcnnParams, build_mask_rcnn, detection_losses
from weakseg.study.stages import Artifact

INSIDE, OBJECT, UNKNOWN = 1, 2, 4  # bits of a box map: in the given box, in the mask, the mask may not be learned


def box_maps(
    corners: np.ndarray, size: tuple[int, int], masks: np.ndarray | None = None, known: np.ndarray | None = None
) -> np.ndarray:
    """What is given of n objects as one map each, uint8 (n, H, W): the bits INSIDE, OBJECT and UNKNOWN.

    The tight box of such a map is the given box, whatever its mask, so it passes for a mask in `InstanceSet`.

    Args:
        corners: int (n, 4), x0, y0, x1, y1 in pixels, half-open. size: (H, W). masks: bool (n, H, W), within the boxes;
            None where there are none. known: bool (n,), which masks may be learned; None: all.
    """
    H, W = size
    y, x = np.arange(H), np.arange(W)
    x0, y0, x1, y1 = corners.T[..., None]  # (n, 1) each
    rows, columns = (y >= y0) & (y < y1), (x >= x0) & (x < x1)
    inside = rows[:, :, None] & columns[:, None]  # (n, H, W)
    maps = inside * np.uint8(INSIDE)
    if masks is not None:
        maps = maps | masks * np.uint8(OBJECT)
    return maps if known is None else maps | (inside & ~known[:, None, None]) * np.uint8(UNKNOWN)


def chosen_of(wanted: Sequence[Tensor], *lists: Sequence[Tensor]) -> tuple[list[Tensor], ...]:
    """Picture by picture, the rows of every list that are wanted (bool)."""
    return tuple([rows[some] for rows, some in zip(each, wanted, strict=True)] for each in lists)


class BoxHeads(RoIHeads):
    """RoI heads whose mask loss is `mask_loss`; subclasses give it. Boxes and classes are learned as usual."""

    def has_mask(self) -> bool:
        """In training torchvision's own mask branch is left out; `forward` adds the one of this class."""
        return not self.training and super().has_mask()

    def select_training_samples(self, proposals: list[Tensor], targets: list[dict[str, Tensor]]):
        """Torchvision's choice of RoIs, which is kept for the mask branch."""
        self.chosen = super().select_training_samples(proposals, targets)
        return self.chosen

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """As torchvision's; in training "loss_mask" is that of this class."""
        result, losses = super().forward(features, proposals, image_shapes, targets)
        if self.training:
            rois, matched = self.mask_rois(targets)
            logits = self.mask_predictor(self.mask_head(self.mask_roi_pool(features, rois, image_shapes)))
            losses["loss_mask"] = self.mask_loss(logits, rois, matched, targets)
        return result, losses

    def mask_rois(self, targets: list[dict[str, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
        """The positive RoIs (n, 4) of each picture, and the numbers (n,) of the objects they are matched to."""
        rois, matched, labels, _ = self.chosen
        return chosen_of([label > 0 for label in labels], rois, matched)

    def mask_loss(
        self, logits: Tensor, rois: list[Tensor], matched: list[Tensor], targets: list[dict[str, Tensor]]
    ) -> Tensor:
        """logits (R, classes, 28, 28) of all RoIs; rois, matched, targets: one entry a picture -> scalar."""
        raise NotImplementedError


class IgnoringHeads(BoxHeads):
    """Torchvision's mask loss without the RoIs of objects whose mask is not known (BoxCaseg section 3.4, "drop")."""

    def mask_rois(self, targets: list[dict[str, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
        """As above, for objects with a known mask only."""
        rois, matched = super().mask_rois(targets)
        known = [(t["masks"].amax((1, 2)) < UNKNOWN)[m] for t, m in zip(targets, matched, strict=True)]
        return chosen_of(known, rois, matched)

    def mask_loss(
        self, logits: Tensor, rois: list[Tensor], matched: list[Tensor], targets: list[dict[str, Tensor]]
    ) -> Tensor:
        """The mean over the pixels of the known RoIs; zero, with a gradient of zero, where there are none."""
        masks = [(t["masks"] & OBJECT) // OBJECT for t in targets]
        return maskrcnn_loss(logits, rois, masks, [t["labels"] for t in targets], matched)


def with_heads(model: MaskRCNN, heads: Callable[..., RoIHeads], **more) -> MaskRCNN:
    """The same network, its RoI heads replaced by `heads` made of the same parts (and of what `more` names)."""
    old = model.roi_heads
    model.roi_heads = heads(
        old.box_roi_pool,
        old.box_head,
        old.box_predictor,
        old.proposal_matcher.high_threshold,
        old.proposal_matcher.low_threshold,
        old.fg_bg_sampler.batch_size_per_image,
        old.fg_bg_sampler.positive_fraction,
        old.box_coder.weights,
        old.score_thresh,
        old.nms_thresh,
        old.detections_per_img,
        old.mask_roi_pool,
        old.mask_head,
        old.mask_predictor,
        **more,
    )
    return model


def boxes_in_rois(rois: Sequence[Tensor], matched: Sequence[Tensor], boxes: Sequence[Tensor], side: int) -> Tensor:
    """The box of each RoI's object in cells of the RoI's side x side grid: (R, 4), x0, y0, x1, y1, whole, half-open.

    rois, matched, boxes (n, 4): one entry a picture. A cell counts when the box covers any part of it.
    """
    frame = torch.cat(list(rois))
    given = torch.cat([box[m] for box, m in zip(boxes, matched, strict=True)])
    scale = side / (frame[:, 2:] - frame[:, :2]).clamp(min=1e-6)
    low, high = ((part - frame[:, :2]) * scale for part in (given[:, :2], given[:, 2:]))
    return torch.cat([low.floor(), high.ceil()], 1)  # (R, 4)


def fit_on_boxes(
    out: Path,
    heads: Callable[..., RoIHeads],
    maps: Callable[[int], tuple[np.ndarray, np.ndarray]],
    *,
    pictures: Artifact,
    init: Artifact | None,
    weights: Artifact | None,
    data: DataParams,
    mask_rcnn: MaskRcnnParams,
    split: str,
    seed: int,
    title: str,
    losses: Callable[[MaskRCNN, dict], dict[str, Tensor]] = detection_losses,
) -> MaskRCNN:
    """Trains a Mask R-CNN with these heads; writes model.safetensors and log.csv, returns the network.

    maps(i) -> box maps uint8 (n, H, W) and labels (n,) from 0 of picture i; pictures without boxes are left out.
    init, weights: as in `train_mask_rcnn`. ValueError when no picture has a box.
    """
    torch.manual_seed(seed)
    view = TagView(open_set(pictures, data, split))
    model = with_heads(build_mask_rcnn(with_file(mask_rcnn, weights), len(view.classes)), heads)
    chosen = [index for index in range(len(view)) if len(maps(index)[1])]
    if not chosen:
        raise ValueError(f"split {split}: no picture has a box to learn from; correct the annotations")
    names, image, given = [view.names[i] for i in chosen], lambda k: view.image(chosen[k]), lambda k: maps(chosen[k])
    samples = InstanceSet(names, image, given, mask_rcnn.min_side, mask_rcnn.flip)
    what = model, model.backbone.backbone, samples, losses, mask_rcnn.training
    fit_final(out, *what, init=init, seed=seed, title=title, collate=collate_instances)
    return model
