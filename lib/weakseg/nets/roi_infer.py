"""Detection with a trained RoI detector: average over scales and mirror images, regression, suppression."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor
from torchvision.ops import batched_nms

from weakseg.data.weak import TagView
from weakseg.nets.augment import to_tensor
from weakseg.nets.proposal_samples import mirrored
from weakseg.nets.roi_detector import RoiDetector, mean_scores
from weakseg.ops import box_regression as reg
from weakseg.ops.box_proposals import load_boxes
from weakseg.ops.detections import Detected, save_detected
from weakseg.study.machine import autocast, device
from weakseg.study.params import Group
from weakseg.study.stages import Artifact


class RoiTestParams(Group):
    """What is kept of the detections. Nothing here changes the training.

    short_sides: of the pictures read, averaged; null reads them as they are. score: of the least detection kept.
    """

    short_sides: tuple[PositiveInt, ...] | None = (480, 576, 688, 864, 1000)
    flip: bool = True
    nms: float = Field(0.3, gt=0, le=1)
    score: float = Field(0.0, ge=0, lt=1)
    detections: PositiveInt = 100


class Glance(NamedTuple):
    """One way of looking at a picture: (1, 3, h, w), by which factor it was resized, whether it is mirrored."""

    picture: Tensor
    factor: float
    flipped: bool

    def boxes(self, boxes: Tensor) -> Tensor:
        """Boxes (n, 4) of the original picture in this one."""
        return mirrored(boxes * self.factor, self.picture.shape[-1]) if self.flipped else boxes * self.factor


def glances(picture: Tensor, test: RoiTestParams) -> Iterator[Glance]:
    """All ways of looking at a picture (3, H, W)."""
    _, H, W = picture.shape
    for side in test.short_sides or (min(H, W),):
        factor = side / min(H, W)
        size = round(H * factor), round(W * factor)
        scaled = picture[None] if factor == 1 else F.interpolate(picture[None], size, mode="bilinear", antialias=True)
        yield Glance(scaled, factor, False)
        if test.flip:
            yield Glance(scaled.flip(-1), factor, True)


def unflipped(offsets: Tensor) -> Tensor:
    """Offsets (n, 4 k) read in a mirrored picture: the horizontal shift changes its sign."""
    n, width = offsets.shape
    turned = offsets.view(n, width // 4, 4) * offsets.new_tensor([-1, 1, 1, 1])
    return turned.reshape(n, width)


def averaged(net: RoiDetector, picture: Tensor, boxes: Tensor, test: RoiTestParams) -> tuple[Tensor, Tensor | None]:
    """Label scores (n, C + 1) and offsets (or None) of the proposals (n, 4), each the mean over all glances."""
    owner = torch.zeros(len(boxes), dtype=torch.long, device=boxes.device)
    scores, offsets = [], []
    for glance in glances(picture, test):
        read, _ = net(glance.picture, glance.boxes(boxes), owner)
        scores.append(mean_scores(read))
        if read.offsets is not None:
            offsets.append(unflipped(read.offsets) if glance.flipped else read.offsets)
    return torch.stack(scores).mean(0), torch.stack(offsets).mean(0) if offsets else None


def detect(
    scores: Tensor, offsets: Tensor | None, boxes: Tensor, size: tuple[int, int], test: RoiTestParams
) -> Detected:
    """Detections of one picture (section 3.4): each proposal moves and takes the class of its highest score.

    Suppression is within a class. The background counts as no class here: its score only lowers the others.
    """
    value, label = scores[:, 1:].max(1)
    placed = _placed(boxes, offsets, label, size)
    kept = batched_nms(placed, value, label, test.nms)
    kept = kept[value[kept] >= test.score][: test.detections]
    best_score, best = scores[:, 1:].max(0)  # (C,)
    classes = torch.arange(len(best), device=best.device)
    top = _placed(boxes[best], None if offsets is None else offsets[best], classes, size)
    return Detected(placed[kept], label[kept], value[kept], top, best_score)


@torch.inference_mode()
def detect_all(
    out: Path, net: RoiDetector, view: TagView, proposals: Artifact, test: RoiTestParams, precision: str
) -> None:
    """Writes boxes/<name>.npz for every picture of a view; no tag is read."""
    for index, name in enumerate(view.names):
        picture = to_tensor(view.image(index)).to(device())
        boxes = torch.from_numpy(load_boxes(proposals, name)).to(device())
        with autocast(precision):
            scores, offsets = averaged(net, picture, boxes, test)
        save_detected(out / "boxes", name, detect(scores, offsets, boxes, tuple(picture.shape[1:]), test))


def _placed(boxes: Tensor, offsets: Tensor | None, label: Tensor, size: tuple[int, int]) -> Tensor:
    return boxes if offsets is None else reg.inside(reg.moved(boxes, reg.of_class(offsets, label)), size)
