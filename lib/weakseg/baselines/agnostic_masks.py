"""Masks without classes by a Mask R-CNN of one class: the network under S4Net and the DeepMask-style proposals here."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN

from weakseg.data.salient_instances import PictureView, Source, open_salient
from weakseg.data.sets import DataParams
from weakseg.nets import augment
from weakseg.nets.final import InstanceSet, collate_instances, fit_final, trained, with_file
from weakseg.nets.mask_rcnn import MaskRcnnParams, build_mask_rcnn, detect, detection_losses
from weakseg.nets.roi_pool import MultiScaleRoIAlign
from weakseg.study.artifacts import save_instances
from weakseg.study.stages import Artifact

INSIDE, RING = 14, 5  # cells of a RoI, and of the ring around it: a third of the box


class TernaryPool(nn.Module):
    """S4Net's RoI masking: the features of a box with a ring of a third of its sides around it, times +1 inside the box
    and -1 in the ring; what lies beyond counts as 0 (it is not looked at).
    """

    def __init__(self, strides: tuple[int, ...], scale: int):
        super().__init__()
        side = INSIDE + 2 * RING
        self.pool = MultiScaleRoIAlign(strides, side, 2, scale)
        signs = -torch.ones(side, side)
        signs[RING:-RING, RING:-RING] = 1
        self.register_buffer("signs", signs, persistent=False)

    def forward(self, features: dict[str, Tensor], boxes: list[Tensor], sizes: list[tuple[int, int]]) -> Tensor:
        """Boxes (n, 4) of every picture -> (N, C, 24, 24)."""
        return self.pool(features, [with_ring(each) for each in boxes], sizes) * self.signs


def with_ring(boxes: Tensor) -> Tensor:
    """Boxes x0, y0, x1, y1 (n, 4) grown by the ring on every side."""
    margin = (boxes[:, 2:] - boxes[:, :2]) * (RING / INSIDE)
    return torch.cat([boxes[:, :2] - margin, boxes[:, 2:] + margin], 1)


class WithoutRing(nn.Module):
    """Cuts the ring off again, so that masks are predicted on the box."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, 24, 24) -> (N, C, 14, 14)."""
        return x[..., RING:-RING, RING:-RING]


def build_agnostic(mask_rcnn: MaskRcnnParams, ring: bool, pretrained: bool = True) -> MaskRCNN:
    """Mask R-CNN of one class; with `ring` its mask head sees S4Net's ternary features."""
    model = build_mask_rcnn(mask_rcnn, 1, pretrained)
    if ring:
        model.roi_heads.mask_roi_pool = TernaryPool(mask_rcnn.strides, mask_rcnn.roi_scale)
        model.roi_heads.mask_head = nn.Sequential(model.roi_heads.mask_head, WithoutRing())
    return model


def fit_agnostic(
    out: Path,
    names: Sequence[str],
    image: Callable[[int], np.ndarray],
    masks: Callable[[int], np.ndarray],
    mask_rcnn: MaskRcnnParams,
    *,
    ring: bool,
    init: Artifact | None,
    weights: Artifact | None,
    seed: int,
    title: str,
) -> None:
    """Trains on masks(i) -> bool (n, H, W), whatever they are; writes model.safetensors and log.csv."""
    torch.manual_seed(seed)
    model = build_agnostic(with_file(mask_rcnn, weights), ring)

    def instances(index: int) -> tuple[np.ndarray, np.ndarray]:
        found = masks(index)
        return found, np.zeros(len(found), np.int64)

    what = model, model.backbone.backbone, InstanceSet(names, image, instances, mask_rcnn.min_side, mask_rcnn.flip)
    how = {"init": init, "seed": seed, "title": title, "collate": collate_instances}
    fit_final(out, *what, detection_losses, mask_rcnn.training, **how)


def predict_agnostic(
    out: Path,
    *,
    model: Artifact,
    pictures: Artifact,
    data: DataParams,
    source: Source,
    split: str,
    mask_rcnn: MaskRcnnParams,
    ring: bool,
) -> None:
    """Stage: instances/<name>.npz for every picture of a split with salient instances."""
    view = PictureView(open_salient(pictures, data, source, split))
    net = trained(build_agnostic(mask_rcnn, ring, pretrained=False), model)
    images = (view.image(index) for index in range(len(view)))
    for positions, batch in augment.same_size_batches(images, mask_rcnn.training.batch_size):
        for position, found in zip(positions, detect(net, batch, mask_rcnn.test.mask_threshold), strict=True):
            save_instances(out / "instances", view.names[position], *found)
