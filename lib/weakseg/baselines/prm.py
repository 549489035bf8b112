"""PRM (Zhou et al., CVPR 2018): peaks of class maps, propagated back to the picture, choose among mask proposals."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from weakseg.baselines.inputs import square
from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import TagView
from weakseg.nets import augment, backbones
from weakseg.nets.final import load_backbone, trained
from weakseg.ops import peaks
from weakseg.ops.proposals import ProposalParams, load_proposals, propose
from weakseg.study import train
from weakseg.study.artifacts import save_instances
from weakseg.study.machine import device, parallel
from weakseg.study.params import Group
from weakseg.study.stages import Artifact, Store


class RetrievalParams(Group):
    """From class maps to instances. Nothing here changes the training.

    peak_threshold: smallest value of a peak. It is a logit (30 on the released net) and belongs to one network's scale;
    with `relative` it is a share of the class map's own maximum, which means the same on any network.
    class_threshold: smallest class score. max_peaks: followed per picture.
    Retrieval score = inside * mass inside + contour * mass on the contour - background * share of the picture that the
    proposal covers outside the class (the released 1e-5 per pixel at 448 x 448 is 2.0 per picture).
    contour_width: side of the morphological gradient's window, in pixels of the picture. Five pixels are a line on
    448 px; on 128 px they hold the whole response of a small proposal, which then beats the object it is part of. Small
    pictures want a narrower contour and a smaller weight.
    """

    peak_threshold: float = 30.0
    relative: bool = False
    class_threshold: float = 0.0
    max_peaks: int = Field(30, ge=1)
    inside: float = Field(0.8, ge=0)
    contour: float = Field(1.0, ge=0)
    contour_width: Literal[3, 5, 7] = 5
    background: float = Field(2.0, ge=0)
    background_level: float = Field(0.95, ge=0)
    nms: float = Field(0.3, gt=0, le=1)


class PrmParams(Group):
    """Defaults: the released settings on ResNet-50 (methods 7.2).

    side: pictures are resized to a square of this side; null takes them as they are. window: of a local maximum.
    """

    backbone: backbones.Name = "resnet50"
    weights: str | None = "torchvision"
    frozen_norm: backbones.FrozenNorm | None = None
    output_stride: Literal[8, 16, 32] = 32
    side: int | None = Field(448, ge=32)
    window: Literal[3, 5, 7] = 3
    epochs: int = Field(20, ge=1)
    batch_size: int = Field(16, ge=1)
    lr: float = Field(0.01, gt=0)
    backbone_lr_factor: float = Field(0.01, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0)
    precision: Literal["fp32", "bf16"] = "fp32"
    proposals: ProposalParams = ProposalParams()
    retrieval: RetrievalParams = RetrievalParams()


class PeakNet(nn.Module):
    """Backbone and a 1x1 classifier with bias at every cell: pictures (B, 3, H, W) -> class maps (B, C, h, w)."""

    def __init__(self, backbone: backbones.Backbone, classes: int):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Conv2d(backbone.channels[-1], classes, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """pictures in [0, 1] -> class maps before any sigmoid."""
        return self.head(self.backbone(pictures)[-1])


def build_prm(prm: PrmParams, classes: int, weights: str | None = None) -> PeakNet:
    """The network of `prm`; `weights` (a file or "torchvision") for its backbone, random ones without."""
    norm = backbones.norm_kept(prm.backbone, prm.weights, prm.frozen_norm)
    backbone = backbones.build(prm.backbone, weights=weights, output_stride=prm.output_stride, frozen_norm=norm)
    return PeakNet(backbone, classes)


class TagSamples:
    """Pictures with tags for `fit`: resized to a square where asked, mirrored in one of two cases."""

    def __init__(self, view: TagView, side: int | None):
        self.view, self.side = view, side

    def __len__(self) -> int:
        return len(self.view)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        index, draw = key
        picture, _ = augment.random_flip(square(self.view.image(index), self.side), None, np.random.default_rng(draw))
        tags = torch.as_tensor(self.view.tags(index))
        return {"name": self.view.names[index], "picture": augment.to_bytes(picture), "tags": tags}


def peak_loss(window: int, model: PeakNet, batch: dict) -> dict[str, Tensor]:
    """Multi-label soft margin of the peak-stimulated class scores."""
    return {
        "loss": F.multilabel_soft_margin_loss(peaks.stimulate(model(batch["picture"]).float(), window), batch["tags"])
    }


def train_prm(
    out: Path,
    *,
    pictures: Artifact,
    weights: Artifact | None = None,
    init: Artifact | None = None,
    data: DataParams,
    prm: PrmParams,
    seed: int,
) -> None:
    """Stage: trains on the tags of the training pictures; writes model.safetensors and log.csv.

    weights: the file that prm.weights names (see nets.backbones.weights_input). init: a run whose model.safetensors
    holds the same backbone, to start from where no pretrained weights exist.
    """
    torch.manual_seed(seed)
    view = TagView(open_set(pictures, data, "trainaug"))
    model = build_prm(prm, len(view.classes), str(weights.path) if weights else prm.weights)
    if init is not None:
        load_backbone(model.backbone, init / "model.safetensors")
    groups = [
        {"params": [p for p in model.backbone.parameters() if p.requires_grad], "lr": prm.lr * prm.backbone_lr_factor},
        {"params": list(model.head.parameters()), "lr": prm.lr},
    ]
    train.fit(
        model.to(device()),
        TagSamples(view, prm.side),
        partial(peak_loss, prm.window),
        torch.optim.SGD(groups, momentum=prm.momentum, weight_decay=prm.weight_decay),
        out=out,
        seed=seed,
        epochs=prm.epochs,
        batch_size=prm.batch_size,
        precision=prm.precision,
        title="PRM",
    )
    train.save_model(model, out / "model.safetensors")


def predict_prm(
    out: Path, *, model: Artifact, proposals: Artifact, pictures: Artifact, data: DataParams, prm: PrmParams, split: str
) -> None:
    """Stage: writes instances/<name>.npz for every picture of the split; classes are predicted, no tag is read."""
    view = TagView(open_set(pictures, data, split))
    net = trained(build_prm(prm, len(view.classes)), model)
    twin = peaks.for_back_propagation(net)
    images = (square(view.image(index), prm.side) for index in range(len(view)))
    items = []
    for positions, batch in augment.same_size_batches(images, prm.batch_size):
        for position, found in zip(positions, respond(net, twin, batch.to(device()), prm), strict=True):
            items.append((view.names[position], *found))
    parallel(partial(_retrieve_picture, out / "instances", proposals, prm.retrieval), items, title="PRM retrieval")


def respond(
    net: PeakNet, twin: nn.Module, pictures: Tensor, prm: PrmParams
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """What the peaks of a batch responded to.

    Args:
        net: in inference mode. twin: `peaks.for_back_propagation` of it. pictures: (B, 3, H, W).

    Returns:
        Per picture: responses (P, H, W) float32 with sum 1, class maps (P, h, w) of the peaks, labels (P,).
    """
    r = prm.retrieval
    with torch.no_grad():
        maps = net(pictures)
    found = peaks.list_peaks(maps, r.peak_threshold, r.relative, r.class_threshold, prm.window, r.max_peaks)
    responses = peaks.back_propagate(twin, pictures, found, prm.batch_size).cpu().numpy()
    class_maps = maps[found.picture, found.label].cpu().numpy()
    owner, label = found.picture.cpu().numpy(), found.label.cpu().numpy()
    return [(responses[owner == b], class_maps[owner == b], label[owner == b]) for b in range(len(pictures))]


def _retrieve_picture(folder: Path, proposals: Artifact, retrieval: RetrievalParams, item: tuple) -> None:
    name, responses, class_maps, labels = item
    masks = load_proposals(proposals, name)
    chosen, scores = retrieve(responses, class_maps, masks, retrieval)
    kept = suppress(masks[chosen], scores, retrieval.nms)
    save_instances(folder, name, masks[chosen][kept], labels[: len(chosen)][kept], scores[kept])


def retrieve(
    responses: np.ndarray, class_maps: np.ndarray, masks: np.ndarray, retrieval: RetrievalParams
) -> tuple[np.ndarray, np.ndarray]:
    """The best proposal of every peak (section 3.3, equation 5):

        score = inside * R . S  +  contour * R . S_contour  -  background * mean(Q S)

    R the peak's response, S a proposal, S_contour its contour, Q the background: class map below a share of its mean.

    Args:
        responses: (P, H', W'). class_maps: (P, h, w). masks: (n, H, W), of the picture's size.

    Returns:
        chosen: (P,) places in `masks`; empty when there is no proposal. scores: (P,).
    """
    n, H, W = masks.shape
    if not n or not len(responses):
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    shapes = masks.reshape(n, -1).astype(np.float32)
    window = np.ones((retrieval.contour_width,) * 2, np.uint8)
    contours = np.stack([cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, window) for mask in masks.astype(np.uint8)])
    response = np.stack([cv2.resize(each, (W, H), interpolation=cv2.INTER_AREA) for each in responses])
    response = response.reshape(len(responses), -1)
    response = response / np.maximum(response.sum(axis=1, keepdims=True), 1e-10)
    level = retrieval.background_level * class_maps.mean(axis=(1, 2))
    outside = np.stack([cv2.resize(each, (W, H)) < bound for each, bound in zip(class_maps, level, strict=True)])
    outside = outside.reshape(len(responses), -1).astype(np.float32)
    score = (
        retrieval.inside * response @ shapes.T
        + retrieval.contour * response @ contours.reshape(n, -1).astype(np.float32).T
    )
    score = score - retrieval.background * outside @ shapes.T / (H * W)  # (P, n)
    chosen = score.argmax(axis=1)
    return chosen, score[np.arange(len(chosen)), chosen]


def suppress(masks: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """Non-maximum suppression over all classes: places of the kept masks (n, H, W), best first.

    A mask goes when its IoU with a kept one of higher score reaches the threshold. (The released code also adds the
    responses of suppressed peaks to the survivor's; that changes the picture of the response, not the mask.)
    """
    flat = masks.reshape(len(masks), math.prod(masks.shape[1:])).astype(np.float32)
    both = flat @ flat.T
    area = flat.sum(axis=1)
    iou = both / np.maximum(area[:, None] + area[None] - both, 1)
    kept: list[int] = []
    for place in np.argsort(-scores, kind="stable"):
        if not kept or iou[place, kept].max() < threshold:
            kept.append(int(place))
    return np.array(kept, dtype=np.int64)


def instances(
    store: Store, *, pictures: Artifact, init: Artifact | None, data: DataParams, prm: PrmParams, split: str, seed: int
) -> Artifact:
    """Training, proposals and prediction: an artifact with instances/ of the split.

    The training depends on neither proposals nor retrieval, so its key does not either.
    """
    untuned = prm.model_copy(update={"proposals": ProposalParams(), "retrieval": RetrievalParams()})
    weights = backbones.weights_input(prm.weights, prm.backbone)
    model = store(train_prm, pictures=pictures, weights=weights, init=init, data=data, prm=untuned, seed=seed)
    proposals = store(propose, pictures=pictures, data=data, split=split, proposals=prm.proposals)
    return store(predict_prm, model=model, proposals=proposals, pictures=pictures, data=data, prm=prm, split=split)
