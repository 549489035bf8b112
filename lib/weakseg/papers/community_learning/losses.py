"""The losses of end-to-end training (section 3.3), one dict of terms.

Where the paper's normalisation is open: L_cls is summed over classes and averaged over pictures; L_refine and L_reg
are divided by the picture's number of proposals and averaged over pictures; L_cam is averaged over the proposals
chosen for IMG; L_seg is averaged over cells and over the foreground ones among these, for the map of their class.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from weakseg.nets.proposal_samples import owners
from weakseg.nets.roi_detector import DetectorParams, Read, detector_losses, mean_scores, won_tags
from weakseg.ops import multiple_instance as mi
from weakseg.papers.community_learning.model import CommunityNet
from weakseg.study.params import Group


class SelectionParams(Group):
    """Which proposals IMG and IS learn from (section 3.2.1; numbers not given there).

    share: of its class's best score from which a proposal is a peak. nms: IoU of neighbours that a peak suppresses.
    overlap: with a peak, from which a proposal is foreground. apart: overlap with its nearest peak below which it may
    be background; between the two it teaches nothing, so that a part of an object is not taught as background.
    foreground, background: at most so many per picture.
    """

    share: float = Field(0.5, gt=0, le=1)
    nms: float = Field(0.3, gt=0, le=1)
    overlap: float = Field(0.5, gt=0, le=1)
    apart: float = Field(0.5, gt=0, le=1)
    foreground: int = Field(16, ge=1)
    background: int = Field(48, ge=0)


class LossWeights(Group):
    """Of every term; all 1 in equations 2 and 6."""

    cls: float = Field(1.0, ge=0)
    refine: float = Field(1.0, ge=0)
    reg: float = Field(1.0, ge=0)
    img: float = Field(1.0, ge=0)
    seg: float = Field(1.0, ge=0)


class Chosen(NamedTuple):
    """Proposals for IMG and IS: places (S,) among all, labels (S,), 0 background, c + 1 class c."""

    place: Tensor
    label: Tensor


def choose(read: Read, boxes: Tensor, owner: Tensor, tags: Tensor, how: SelectionParams) -> Chosen:
    """Foreground around the peaks of each tagged class's mean score, background at random apart from all peaks."""
    scores = mean_scores(read).detach()[:, 1:]
    peaks = mi.peak_seeds(scores, tags, owner, boxes, how.share, how.nms)
    assigned = mi.assign(boxes, owner, peaks, how.overlap)
    place = mi.sample(assigned, owner, peaks, how.foreground, how.background, how.apart)
    return Chosen(place, assigned.label[place])


def mask_losses(
    model: CommunityNet, read: Read, maps: list[Tensor], boxes: Tensor, owner: Tensor, chosen: Chosen, threshold: float
) -> dict[str, Tensor]:
    """L_img (equation 8) and, with IS, L_seg (equation 9): "img", "seg"."""
    place, label = chosen
    levels = model.levels(read.features[place], maps, boxes[place], owner[place])
    logits, cams = model.img(levels)
    terms = {"img": model.img.loss(logits, label)}
    if model.seg is not None:
        front = (label > 0).nonzero()[:, 0]  # a GPU is waited for once, not with every choice
        pseudo = model.img.attention([each[front] for each in cams], label[front]).detach() > threshold
        terms["seg"] = segmentation_loss(model.seg(levels[0][front], label[front]), pseudo)
    return terms


def segmentation_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross entropy of maps (S, T, T) with pseudo masks (S, T, T), mean over cells and proposals; 0 if S is 0.

    L_seg = - 1/T^2 * sum over r, c, ij of  m log s + (1 - m) log(1 - s)     (equation 9)
    """
    if not len(logits):
        return logits.sum()
    return F.binary_cross_entropy_with_logits(logits, masks.to(logits.dtype))


def community_losses(
    detector: DetectorParams,
    threshold: float,
    selection: SelectionParams,
    weights: LossWeights,
    model: CommunityNet,
    batch: dict,
) -> dict[str, Tensor]:
    """L = L_det + L_img + L_seg (equation 2) as "loss", every term that is on, and "won": the share of the tags that
    are the highest label of some proposal.
    """
    boxes, tags, owner = batch["boxes"], batch["tags"], owners(batch["count"], batch["boxes"])
    read, maps = model.detector(batch["picture"], boxes, owner)
    terms = detector_losses(detector, read, boxes, owner, tags)
    if model.img is not None:
        chosen = choose(read, boxes, owner, tags, selection)
        terms |= mask_losses(model, read, maps, boxes, owner, chosen, threshold)
    won = won_tags(read, owner, tags)
    model.tagged += (tags > 0).sum(0)
    model.won += won.sum(0)
    total = torch.stack([getattr(weights, name) * value for name, value in terms.items()]).sum()
    return {"loss": total, **terms, "won": won.sum() / (tags > 0).sum().clamp(min=1)}
