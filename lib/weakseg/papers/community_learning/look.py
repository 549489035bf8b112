"""What happens inside on one picture: which proposal explains a tag, how refinement spreads it, how masks come up."""

from typing import NamedTuple

import torch
from torch import Tensor

from weakseg.nets.roi_detector import DetectorParams, RoiDetector, mean_scores
from weakseg.ops import multiple_instance as mi
from weakseg.papers.community_learning.infer import ensemble
from weakseg.papers.community_learning.model import CommunityNet


class Step(NamedTuple):
    """What one stage says: scores (n, C) of the proposals; seeds and labels (n,) that the next stage learns from."""

    scores: Tensor
    seeds: mi.Seeds
    label: Tensor


class Masks(NamedTuple):
    """Inside m boxes, (m, T, T) each: the stretched map of every CAM, their mean M, S of IS or None, the ensemble."""

    cams: list[Tensor]
    attention: Tensor
    segmentation: Tensor | None
    ensemble: Tensor


@torch.inference_mode()
def refinement(net: RoiDetector, picture: Tensor, boxes: Tensor, tags: Tensor, how: DetectorParams) -> list[Step]:
    """MIDN, then every branch, on one picture (3, H, W) with proposals (n, 4) and tags (C,)."""
    owner = torch.zeros(len(boxes), dtype=torch.long, device=boxes.device)
    read, _ = net(picture[None], boxes, owner)
    every = [read.midn, *(logits.softmax(1)[:, 1:] for logits in read.branches)]
    steps = []
    for scores in every:
        seeds = mi.top_seeds(scores, tags[None], owner)
        steps.append(Step(scores, seeds, mi.assign(boxes, owner, seeds, how.seed_overlap).label))
    return steps


@torch.inference_mode()
def masks_inside(net: CommunityNet, picture: Tensor, boxes: Tensor, label: Tensor) -> Masks:
    """How masks of boxes (m, 4) with labels (m,) from 1 come up, in the picture (3, H, W) as it is."""
    owner = torch.zeros(len(boxes), dtype=torch.long, device=boxes.device)
    read, maps = net.detector(picture[None], boxes, owner)
    levels = net.levels(read.features, maps, boxes, owner)
    cams = net.img(levels)[1]
    attention = net.img.attention(cams, label)
    segmentation = None if net.seg is None else net.seg(levels[0], label).sigmoid()
    each = [net.img.attention([one], label) for one in cams]
    return Masks(each, attention, segmentation, ensemble(attention, segmentation))


@torch.inference_mode()
def label_scores(net: RoiDetector, picture: Tensor, boxes: Tensor) -> Tensor:
    """Mean scores (n, C + 1) of the proposals of one picture (3, H, W), background first."""
    owner = torch.zeros(len(boxes), dtype=torch.long, device=boxes.device)
    return mean_scores(net(picture[None], boxes, owner)[0])
