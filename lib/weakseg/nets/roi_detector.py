"""A detector that learns from tags: shared features, RoI pooling, MIDN, refinement branches, box regressor.

Used by the paper of deep community learning (Hwang et al. 2021, sections 3.2.1 and A.2) and by WSDDN and OICR alone.
All boxes are x0, y0, x1, y1 in pixels of the pictures given, half-open; `owner` (N,) is the picture of each proposal.
"""

from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from weakseg.nets import backbones
from weakseg.nets.final import load_backbone
from weakseg.nets.roi_pool import roi_align
from weakseg.ops import box_regression as reg
from weakseg.ops import multiple_instance as mi
from weakseg.study.params import Group
from weakseg.study.stages import Artifact

Regressor = Literal["none", "agnostic", "specific"]


class DetectorParams(Group):
    """Defaults: the paper's, with OICR's where it gives none.

    output_stride: of the last stage; RoIs are read one stage before it, at 16 where this is 16 or 32. With 32 the last
    stage halves the RoI (7x7 becomes 4x4), else it keeps it. cut_after: so many stages keep their pretrained weights;
    two is usual for detectors, the paper says nothing. pool: cells of a RoI each way. samples: points read in a cell
    each way; one is enough where cells are no larger than those of the map.
    refinements: branches K; 0 leaves WSDDN. regressor: one for all classes, one per class, or none.
    seed_overlap: IoU with a seed from which a proposal is foreground. pair_overlap: above which it learns to regress.
    """

    backbone: backbones.Name = "resnet50"
    weights: str | None = "torchvision"
    frozen_norm: backbones.FrozenNorm | None = None
    cut_after: int = Field(2, ge=0, le=4)
    output_stride: Literal[8, 16, 32] = 16
    pool: int = Field(7, ge=1)
    samples: int = Field(2, ge=1)
    refinements: int = Field(3, ge=0)
    regressor: Regressor = "agnostic"
    seed_overlap: float = Field(0.5, gt=0, le=1)
    pair_overlap: float = Field(0.6, gt=0, le=1)


class Read(NamedTuple):
    """What the detector reads from N proposals.

    features: (N, D, h, w) after the last stage. midn: (N, C). branches: K logits (N, C + 1), background first.
    offsets: (N, 4) or (N, 4 C) by which the proposals should move, or None.
    """

    features: Tensor
    midn: Tensor
    branches: tuple[Tensor, ...]
    offsets: Tensor | None


class RoiDetector(nn.Module):
    """Four stages of a backbone on the picture, the fifth on every RoI, then linear layers on its mean."""

    def __init__(self, full: backbones.Backbone, classes: int, params: DetectorParams):
        super().__init__()
        kept = full.stages[:4], full.channels[:4], full.strides[:4]
        self.backbone = backbones.Backbone(*kept, full.frozen_norm, full.cut_after)
        self.last = full.stages[4]
        self.channels, self.strides = full.channels, full.strides
        self.classes, self.pool, self.samples = classes, params.pool, params.samples
        width = full.channels[4]
        self.recognition, self.detection = nn.Linear(width, classes), nn.Linear(width, classes)
        self.branches = nn.ModuleList(nn.Linear(width, classes + 1) for _ in range(params.refinements))
        outputs = {"none": 0, "agnostic": 4, "specific": 4 * classes}[params.regressor]
        self.regressor = None
        if outputs:
            self.regressor = nn.Sequential(nn.Linear(width, width), nn.ReLU(inplace=True), nn.Linear(width, outputs))
        for part in (self.recognition, self.detection, self.branches, self.regressor):
            if part is not None:
                part.apply(small_start)

    def train(self, mode: bool = True) -> "RoiDetector":
        """As nn.Module.train; batch norm of the last stage is kept as the backbone's is."""
        super().train(mode)
        if self.backbone.frozen_norm != "no":
            for norm in (one for one in self.last.modules() if isinstance(one, nn.BatchNorm2d)):
                norm.eval()
        return self

    def pooled(self, maps: list[Tensor], level: int, boxes: Tensor, owner: Tensor, size: int) -> Tensor:
        """RoI features (N, channels, size, size) of s<level>, level 1..4, by bilinear sampling in every cell."""
        rois = torch.cat([owner[:, None].to(boxes.dtype), boxes], 1)  # (N, 5)
        features = maps[level - 1]
        return roi_align(features, rois, size, 1 / self.strides[level - 1], self.samples, aligned=True)

    def forward(self, pictures: Tensor, boxes: Tensor, owner: Tensor) -> tuple[Read, list[Tensor]]:
        """pictures (B, 3, H, W) in [0, 1], boxes (N, 4) -> what is read from them, and the shared maps s1..s4."""
        maps = self.backbone(pictures)
        features = self.last(self.pooled(maps, 4, boxes, owner, self.pool))
        N, D, h, w = features.shape
        vectors = features.mean((2, 3))  # (N, D)
        scores = self.recognition(vectors).float(), self.detection(vectors).float()
        midn = mi.midn_scores(*scores, owner, len(pictures))
        branches = tuple(branch(vectors).float() for branch in self.branches)
        offsets = None if self.regressor is None else self.regressor(vectors).float()
        return Read(features, midn, branches, offsets), maps


def small_start(layer: nn.Module) -> None:
    """Weights from N(0, 0.01^2), biases 0 (section 4.1), for a linear layer; other layers stay as they are."""
    if isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight, std=0.01)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def build_detector(
    params: DetectorParams, classes: int, weights: str | None = None, init: Artifact | None = None
) -> RoiDetector:
    """The network of `params`.

    weights: a file or "torchvision" for its backbone. init: a run whose model.safetensors holds the same backbone
    (a tag classifier), to start from where no pretrained weights exist.
    """
    full = backbones.build(
        params.backbone,
        weights=weights,
        output_stride=params.output_stride,
        frozen_norm=backbones.norm_kept(params.backbone, params.weights, params.frozen_norm),
        cut_after=params.cut_after,
    )
    if init is not None:
        load_backbone(full, init / "model.safetensors")
    return RoiDetector(full, classes, params)


def start_of(detector: RoiDetector) -> nn.ModuleList:
    """The part that has pretrained weights: all five stages."""
    return nn.ModuleList([detector.backbone, detector.last])


# ---------------------------------------------------------------- scores and losses


def mean_scores(read: Read) -> Tensor:
    """Scores (N, C + 1) of labels, the mean over the refinement branches; MIDN's, without background, where K is 0."""
    if read.branches:
        return torch.stack([logits.softmax(1) for logits in read.branches]).mean(0)
    return torch.cat([torch.zeros_like(read.midn[:, :1]), read.midn], 1)


def detector_losses(
    params: DetectorParams, read: Read, boxes: Tensor, owner: Tensor, tags: Tensor
) -> dict[str, Tensor]:
    """The terms of equation 6, L_det = L_cls + L_reg + sum over k of L_refine^k: "cls", "refine", "reg".

    The seeds of branch k are the best proposals of branch k - 1, of MIDN for the first. The regressor's targets are
    the best proposals by the mean of all branches.
    """
    B = len(tags)
    terms = {"cls": mi.midn_loss(read.midn, tags, owner)}
    before, parts = read.midn.detach(), []
    for logits in read.branches:
        assigned = mi.assign(boxes, owner, mi.top_seeds(before, tags, owner), params.seed_overlap)
        parts.append(mi.refinement_loss(logits, assigned, owner, B))
        before = logits.detach().softmax(1)[:, 1:]
    if parts:
        terms["refine"] = torch.stack(parts).sum()
    if read.offsets is not None:
        terms["reg"] = regression_loss(params, read, boxes, owner, tags)
    return terms


def regression_loss(params: DetectorParams, read: Read, boxes: Tensor, owner: Tensor, tags: Tensor) -> Tensor:
    """Equation 5, averaged over pictures: proposals towards the best one of their class, where they overlap enough."""
    seeds = mi.top_seeds(mean_scores(read).detach()[:, 1:], tags, owner)
    assigned = mi.assign(boxes, owner, seeds, params.pair_overlap)
    if not len(seeds.place):
        return read.offsets.sum() * 0
    targets = reg.offsets(boxes, boxes[seeds.place[assigned.seed]])
    predicted = reg.of_class(read.offsets, (assigned.label - 1).clamp(min=0))
    each = reg.regression_losses(predicted, targets, assigned.label > 0)
    return mi.mean_per_picture(each, owner, len(tags))


def won_tags(read: Read, owner: Tensor, tags: Tensor) -> Tensor:
    """bool (B, C): tags that are the highest label, background included, of at least one proposal of their picture."""
    highest = mean_scores(read).detach().argmax(1)  # (N,)
    won = torch.zeros(len(tags), tags.shape[1] + 1, dtype=torch.bool, device=tags.device)
    won[owner, highest] = True
    return won[:, 1:] & (tags > 0)
