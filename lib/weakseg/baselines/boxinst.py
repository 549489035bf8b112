"""BoxInst (Tian et al., CVPR 2021): projections of the mask match those of the box, pixels of one colour go together.

Both losses on the mask head of Mask R-CNN, where the original has CondInst: maps are RoIs of 28 x 28 cells instead of
whole pictures at stride 4, so two cells farther on is a share of the object and not 8 pixels.
"""

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.roi_heads import RoIHeads

from weakseg.baselines.from_boxes import box_reader, chosen_logits
from weakseg.data.sets import DataParams
from weakseg.nets.box_mask_rcnn import BoxHeads, boxes_in_rois, fit_on_boxes
from weakseg.nets.mask_rcnn import MaskRcnnParams, detection_losses
from weakseg.nets.roi_pool import numbered, roi_align
from weakseg.ops.bags import filled_boxes
from weakseg.ops.lab import lab
from weakseg.study import train
from weakseg.study.params import Group
from weakseg.study.stages import Artifact


class BoxInstParams(Group):
    """threshold: colour similarity from which a pair counts. dilation: cells between the two of a pair. warmup: steps
    over which the pair loss comes in. bottom_rows: rows of the picture that no pair may touch."""

    threshold: float = Field(0.3, gt=0, le=1)
    dilation: int = Field(2, ge=1)
    warmup: int = Field(10_000, ge=1)
    bottom_rows: int = Field(10, ge=0)


def projection_loss(logits: Tensor, inside: Tensor) -> Tensor:
    """Mean over R maps (R, h, w) of the dice losses of both projections (eq. 2 to 4).

    L = sum over axes of 1 - 2 sum(x y) / (sum x^2 + sum y^2 + 1e-5),  x: max of the mask, y: that of the box
    """
    chance, box = logits.sigmoid(), inside.to(logits.dtype)
    return sum(_dice_loss(chance.amax(axis), box.amax(axis)) for axis in (1, 2)).mean()


def _dice_loss(x: Tensor, y: Tensor) -> Tensor:
    return 1 - 2 * (x * y).sum(1) / (x.square().sum(1) + y.square().sum(1) + 1e-5)


def neighbours(maps: Tensor, dilation: int) -> Tensor:
    """The eight neighbours of every cell, `dilation` away: (R, C, h, w) -> (R, C, 8, h, w), 0 outside the map."""
    R, C, h, w = maps.shape
    found = F.unfold(maps, 3, dilation=dilation, padding=dilation).view(R, C, 9, h, w)  # (R, C, 9, h, w)
    return torch.cat([found[:, :, :4], found[:, :, 5:]], 2)


def similarity(colours: Tensor, counts: Tensor, dilation: int) -> Tensor:
    """exp(-||LAB_i - LAB_j|| / 2) of every cell with its neighbours (eq. 6), 0 where either does not count.

    colours: (R, 3, h, w), LAB. counts: bool (R, h, w). Returns (R, 8, h, w).
    """
    distance = (neighbours(colours, dilation) - colours[:, :, None]).square().sum(1).sqrt()  # (R, 8, h, w)
    own = counts[:, None].to(colours.dtype)
    return (-distance / 2).exp() * neighbours(own, dilation)[:, 0] * own


def pair_loss(logits: Tensor, inside: Tensor, likeness: Tensor, threshold: float, dilation: int) -> Tensor:
    """Mean over pairs of like colour with one end in the box of -log P(both have the same label) (eq. 5).

    P(y_ij = 1) = p_i p_j + (1 - p_i)(1 - p_j), computed from log p, log(1 - p)
    """
    yes, no = (F.logsigmoid(sign * logits)[:, None] for sign in (1, -1))
    same = [part + neighbours(part, dilation)[:, 0] for part in (yes, no)]  # (R, 8, h, w) each
    chosen = (likeness >= threshold) & inside[:, None]
    return -(torch.logaddexp(*same) * chosen).sum() / chosen.sum().clamp(min=1)


class BoxInstHeads(BoxHeads):
    """Heads with both losses. `steps`: trainings steps so far, for the warm-up; part of a checkpoint."""

    def __init__(self, *parts, how: BoxInstParams):
        super().__init__(*parts)
        self.how = how
        self.register_buffer("steps", torch.zeros(()))

    def mask_loss(
        self, logits: Tensor, rois: list[Tensor], matched: list[Tensor], targets: list[dict[str, Tensor]]
    ) -> Tensor:
        """Projection loss, plus the pair loss times min(1, steps / warmup)."""
        self.steps += 1
        R, _, side, _ = logits.shape
        if not R:
            return logits.sum()
        own = chosen_logits(logits, matched, targets)
        inside = filled_boxes(boxes_in_rois(rois, matched, [t["boxes"] for t in targets], side), side, side)
        likeness = similarity(*self.colours_in(rois, side), self.how.dilation)
        warm = (self.steps / self.how.warmup).clamp(max=1)
        return projection_loss(own, inside) + warm * pair_loss(
            own, inside, likeness, self.how.threshold, self.how.dilation
        )

    def forward(
        self, features: dict[str, Tensor], proposals: list[Tensor], image_shapes: list[tuple[int, int]], targets=None
    ):
        """As in `BoxHeads`; RoIs are given in pictures resized to `image_shapes`."""
        self.shapes = image_shapes
        return super().forward(features, proposals, image_shapes, targets)

    def colours_in(self, rois: list[Tensor], side: int) -> tuple[Tensor, Tensor]:
        """LAB (R, 3, side, side) of the RoIs of the present pictures, and which cells count, bool (R, side, side)."""
        pictures, sizes = self.seen
        shrink = (sizes / sizes.new_tensor(self.shapes)).flip(1).repeat(1, 2)  # (B, 4): for x, y, x, y
        where = numbered([roi * s for roi, s in zip(rois, shrink, strict=True)])  # (R, 5)
        found = roi_align(pictures, where, side, 1.0, 2)
        return found[:, :3], found[:, 3] > 0.5

    def look_at(self, pictures: Tensor, sizes: Tensor) -> None:
        """Keeps pictures (B, 3, H, W) in [0, 1] for the next loss. sizes (B, 2): height and width without padding."""
        B, _, H, W = pictures.shape
        y, x = torch.arange(H, device=pictures.device), torch.arange(W, device=pictures.device)
        rows, columns = y < sizes[:, :1] - self.how.bottom_rows, x < sizes[:, 1:]
        counts = (rows[:, None, :, None] & columns[:, None, None]).float()  # (B, 1, H, W)
        self.seen = torch.cat([lab(pictures.float()), counts], 1), sizes


def boxinst_losses(model: MaskRCNN, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The losses of the detector, after a look at the pictures' colours."""
    model.roi_heads.look_at(batch["picture"], batch["size"])
    return detection_losses(model, batch)


def train_boxinst(
    out: Path,
    *,
    pictures: Artifact,
    init: Artifact | None = None,
    weights: Artifact | None = None,
    data: DataParams,
    mask_rcnn: MaskRcnnParams,
    boxinst: BoxInstParams,
    split: str = "trainaug",
    seed: int,
) -> None:
    """Stage: trains on boxes and colours. init, weights: as in `nets.mask_rcnn.train_mask_rcnn`.

    Writes model.safetensors, which predicts as any Mask R-CNN, and log.csv.
    """
    read = box_reader(pictures, data, split)
    heads: partial[RoIHeads] = partial(BoxInstHeads, how=boxinst)
    given = {"pictures": pictures, "init": init, "weights": weights, "data": data, "mask_rcnn": mask_rcnn}
    model = fit_on_boxes(out, heads, read, **given, split=split, seed=seed, title="BoxInst", losses=boxinst_losses)
    del model.roi_heads.steps  # a finished network has the weights of an ordinary one
    train.save_model(model, out / "model.safetensors")
