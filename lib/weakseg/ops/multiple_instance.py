"""Multiple-instance detection: which proposals explain the tags, and how that spreads (WSDDN, OICR).

Bilen and Vedaldi, "Weakly supervised deep detection networks", CVPR 2016; Tang et al., "Multiple instance detection
network with online instance classifier refinement", CVPR 2017; as used by Hwang et al., WACV 2021, equations 3, 4 and
11 to 13. Proposals of all pictures of a batch lie one after another; `owner` (N,) says which picture each belongs to,
in ascending order. Labels: 0 background, c + 1 class c.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import batched_nms, box_iou

from weakseg.ops.peaks import place_in_picture

EPSILON = 1e-6  # keeps the logarithms of equation 3 finite (the released value)


class Seeds(NamedTuple):
    """Proposals that stand for an object: places (K,) among the N proposals, class (K,) 0-based, score (K,)."""

    place: Tensor
    label: Tensor
    score: Tensor


class Assigned(NamedTuple):
    """What seeds say of every proposal: label (N,), weight (N,), overlap (N,) with its nearest seed, that seed (N,).

    Where a picture has no seed, label and weight are 0, overlap is 0 and the seed is -1.
    """

    label: Tensor
    weight: Tensor
    overlap: Tensor
    seed: Tensor


def softmax_within(scores: Tensor, owner: Tensor, pictures: int) -> Tensor:
    """Softmax over the proposals of each picture, column by column (equation 12): (N, C) -> (N, C)."""
    N, C = scores.shape
    where = owner[:, None].expand(N, C)
    top = scores.new_full((pictures, C), -torch.inf).scatter_reduce(0, where, scores.detach(), "amax")
    raised = (scores - top[owner]).exp()
    total = scores.new_zeros(pictures, C).index_add(0, owner, raised)
    return raised / total[owner]


def midn_scores(recognition: Tensor, detection: Tensor, owner: Tensor, pictures: int) -> Tensor:
    """z = softmax over classes times softmax over proposals (equations 11 to 13), (N, C); both inputs (N, C)."""
    return recognition.softmax(1) * softmax_within(detection, owner, pictures)


def midn_loss(scores: Tensor, tags: Tensor, owner: Tensor) -> Tensor:
    """Cross entropy of the picture's scores phi_c = sum over proposals of z_c with its tags (equation 3):

        L_cls = - sum over c of  y_c log phi_c + (1 - y_c) log(1 - phi_c)

    summed over classes, averaged over pictures. scores: (N, C) of `midn_scores`. tags: (B, C) of 0 and 1.
    """
    B, C = tags.shape
    phi = scores.new_zeros(B, C).index_add(0, owner, scores)
    return binary_loss(phi, tags) / B


def binary_loss(chance: Tensor, truth: Tensor) -> Tensor:
    """Binary cross entropy summed over all entries; chance in [0, 1], truth 0 or 1. Torch's own refuses autocast."""
    p = chance.clamp(EPSILON, 1 - EPSILON)
    return -(truth * p.log() + (1 - truth) * (1 - p).log()).sum()


def top_seeds(scores: Tensor, tags: Tensor, owner: Tensor) -> Seeds:
    """The best proposal of every tagged class (OICR): classes choose in order, and none takes what another has.

    A tag is left without a seed where its picture has fewer proposals than tags.

    Args:
        scores: (N, C). tags: (B, C) of 0 and 1. owner: (N,).
    """
    (B, C), N = tags.shape, len(owner)
    place = place_in_picture(owner)
    table = scores.new_full((B, int(place.max()) + 1 if N else 1, C), -1.0)  # (B, P, C)
    table[owner, place] = scores
    picture = torch.arange(B, device=owner.device)
    first, chosen = torch.searchsorted(owner, picture), torch.full((B, C), -1, device=owner.device)
    for label in range(C):  # nothing here waits for a GPU
        value, best = table[:, :, label].max(1)
        takes = (tags[:, label] > 0) & (value >= 0)
        chosen[:, label] = torch.where(takes, first + best, -1)
        table[picture, best] = torch.where(takes[:, None], -1.0, table[picture, best])
    picture, label = (chosen >= 0).nonzero(as_tuple=True)
    return Seeds(chosen[picture, label], label, scores[chosen[picture, label], label])


def peak_seeds(scores: Tensor, tags: Tensor, owner: Tensor, boxes: Tensor, share: float, nms: float) -> Seeds:
    """Proposals of every tagged class that score at least `share` of its best one and survive suppression.

    Section 3.2.1 takes foreground proposals by score and suppresses their neighbours; its score threshold is not given,
    hence a share. With share 1 only the best remain, as for `top_seeds`, but two classes may hold one proposal.
    """
    B, C = tags.shape
    where = owner[:, None].expand_as(scores)
    best = scores.new_zeros(B, C).scatter_reduce(0, where, scores, "amax")
    high = (scores >= share * best[owner]) & (tags[owner] > 0)
    place, label = high.nonzero(as_tuple=True)
    score = scores[place, label]
    kept = batched_nms(boxes[place], score, owner[place] * C + label, nms)
    return Seeds(place[kept], label[kept], score[kept])


def assign(boxes: Tensor, owner: Tensor, seeds: Seeds, threshold: float) -> Assigned:
    """Every proposal takes the class of the seed of its picture that it overlaps most, background below `threshold`.

    The weight is that seed's score, for background proposals too (appendix A.2.3). boxes: (N, 4).
    """
    N = len(boxes)
    if not len(seeds.place):
        zero = boxes.new_zeros(N)
        none = torch.full((N,), -1, device=boxes.device)
        return Assigned(torch.zeros_like(none), zero, zero.clone(), none)
    apart = owner[:, None] != owner[seeds.place][None]
    overlap, seed = box_iou(boxes, boxes[seeds.place]).masked_fill(apart, -1.0).max(1)  # (N,)
    known = overlap >= 0
    label = torch.where(overlap >= threshold, seeds.label[seed] + 1, 0)
    weight = torch.where(known, seeds.score[seed], 0.0)
    return Assigned(label, weight, overlap.clamp(min=0), torch.where(known, seed, -1))


def refinement_loss(logits: Tensor, assigned: Assigned, owner: Tensor, pictures: int) -> Tensor:
    """Weighted cross entropy of one refinement stage (equation 4), averaged over pictures:

        L_refine = - 1/|R| * sum over r, c of  w_r y_cr log x_cr

    logits: (N, C + 1); x is their softmax.
    """
    each = assigned.weight * F.cross_entropy(logits, assigned.label, reduction="none")  # (N,)
    return mean_per_picture(each, owner, pictures)


def mean_per_picture(values: Tensor, owner: Tensor, pictures: int) -> Tensor:
    """Mean over pictures of the mean over each picture's entries: values (N,), so a crowded picture weighs no more."""
    count = owner.new_zeros(pictures).index_add(0, owner, torch.ones_like(owner)).clamp(min=1)
    return (values / count[owner]).sum() / pictures


def sample(assigned: Assigned, owner: Tensor, seeds: Seeds, foreground: int, background: int, apart: float) -> Tensor:
    """Places (S,) of at most `foreground` and `background` proposals of every picture, at random, seeds first.

    Background is drawn among the proposals that overlap their nearest seed by less than `apart`, no others.
    """
    draw = torch.rand(len(owner), device=owner.device)
    draw[seeds.place] = -1.0
    group = owner * 2 + (assigned.label == 0)
    order = draw.argsort(stable=True)
    order = order[(assigned.label[order] > 0) | (assigned.overlap[order] < apart)]
    order = order[group[order].argsort(stable=True)]  # by picture, foreground first, seeds first
    quota = torch.where(assigned.label[order] > 0, foreground, background)
    return order[place_in_picture(group[order]) < quota].sort().values
