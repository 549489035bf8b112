"""AffinityNet (Ahn and Kwak, CVPR 2018, "PSA"): affinities from embedding distances; a baseline of IRN table 2."""

import functools
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from weakseg.data.coco import PictureSet
from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import TagView
from weakseg.nets import augment, backbones, final
from weakseg.nets.classifier import read_cams
from weakseg.nets.resize import bilinear
from weakseg.ops import affinity
from weakseg.ops.cam import Cams, grid_size
from weakseg.ops.crf import CrfParams, refine
from weakseg.study import train
from weakseg.study.artifacts import load_labels, save_labels
from weakseg.study.machine import device, parallel
from weakseg.study.params import Group
from weakseg.study.stages import Artifact


class AffinityNetParams(Group):
    """Defaults: the released settings (alpha 4 and 32 with CRF for the labels, 16 at inference; radius 5; beta 8).

    start, train_backbone, crop, scales: as for IRNet, so that the two differ by method only. stride: of the embedding
    grid. alphas: candidates for the exponent of the background score at inference, chosen on the set-aside pictures; a
    single one is taken as it is.
    """

    backbone: backbones.Name = "resnet50"
    weights: str | None = "torchvision"
    output_stride: Literal[8, 16, 32] = 8
    start: Literal["imagenet", "classifier"] = "classifier"
    train_backbone: bool = True
    low_alpha: float = Field(4.0, gt=0)
    high_alpha: float = Field(32.0, gt=0)
    alphas: tuple[float, ...] = Field((16.0,), min_length=1)
    crf: CrfParams | None = CrfParams(bilateral_xy=80.0, bilateral_rgb=13.0)
    embedding: tuple[int, int, int] = (64, 128, 256)
    stride: int = Field(8, ge=4)
    radius: int = Field(5, ge=2)
    optimiser: Literal["sgd", "adamw"] = "sgd"
    epochs: int = Field(8, ge=1)
    batch_size: int = Field(8, ge=1)
    lr: float = Field(0.1, gt=0)
    head_lr_factor: float = Field(10.0, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    precision: Literal["fp32", "bf16"] = "fp32"
    scales: tuple[float, float] | None = (0.5, 1.5)
    crop: int = Field(448, ge=16, multiple_of=16)
    beta: float = Field(8.0, gt=0)
    steps: int = Field(256, ge=0)
    infer_batch_size: int = Field(1, ge=1)


# ---------------------------------------------------------------- confident labels


def with_background(cams: np.ndarray, alpha: float) -> np.ndarray:
    """Scores (n + 1, H, W): background (1 - max over classes)^alpha, then the classes' attention (n, H, W)."""
    return np.concatenate([(1 - cams.max(0, initial=0))[None].clip(0) ** alpha, cams])


def confident_labels(image: np.ndarray, cams: Cams, params: AffinityNetParams) -> np.ndarray:
    """uint8 (H, W): a class where the map of the low alpha says so, background where the high one's does, else 255.

    The low alpha has much background, so its objects are sure; the high alpha has little, so its background is.
    """
    low, high = (
        _refined(image, with_background(cams.high, a), params.crf) for a in (params.low_alpha, params.high_alpha)
    )
    names = np.concatenate([[affinity.IGNORED], cams.classes + 1]).astype(np.uint8)
    return np.where(high == 0, 0, names[low]).astype(np.uint8)


def _refined(image: np.ndarray, scores: np.ndarray, crf: CrfParams | None) -> np.ndarray:
    return (scores if crf is None or len(scores) == 1 else refine(image, scores, crf)).argmax(0)


def label_confident(
    out: Path, *, pictures: Artifact, cams: Artifact, data: DataParams, affinitynet: AffinityNetParams
) -> None:
    """Stage: one labels/<name>.png per training picture."""
    opened = open_set(pictures, data, "trainaug")
    job = functools.partial(_write_confident, opened, cams, affinitynet, out)
    parallel(job, range(len(opened)), title="AffinityNet labels")


def _write_confident(pictures: PictureSet, cams: Artifact, params: AffinityNetParams, out: Path, index: int) -> None:
    seen = TagView(pictures)
    name = seen.names[index]
    save_labels(out / "labels", name, confident_labels(seen.image(index), read_cams(cams, name), params))


# ---------------------------------------------------------------- network and loss


class AffinityNet(nn.Module):
    """Embeddings from the last three maps of a backbone; two cells are alike when their embeddings are near."""

    def __init__(self, backbone: backbones.Backbone, params: AffinityNetParams):
        super().__init__()
        self.backbone, self.stride, self.trained_backbone = backbone, params.stride, params.train_backbone
        sizes = zip(backbone.channels[2:], params.embedding, strict=True)
        self.reduce = nn.ModuleList(nn.Conv2d(inputs, outputs, 1, bias=False) for inputs, outputs in sizes)
        width = sum(params.embedding)
        self.fuse = nn.Conv2d(width, width, 1, bias=False)
        backbone.requires_grad_(self.trained_backbone)

    def train(self, mode: bool = True) -> "AffinityNet":
        """As nn.Module.train; a backbone that does not learn stays in inference mode."""
        super().train(mode)
        if not self.trained_backbone:
            self.backbone.eval()
        return self

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """pictures (B, 3, H, W) in [0, 1] -> embeddings (B, E, ceil(H / stride), ceil(W / stride))."""
        B, C, H, W = pictures.shape
        with torch.set_grad_enabled(self.trained_backbone and torch.is_grad_enabled()):
            maps = self.backbone(pictures)[2:]
        size = grid_size((H, W), self.stride)
        reduced = [F.elu(layer(x)) for layer, x in zip(self.reduce, maps, strict=True)]
        fitted = [bilinear(x, size) for x in reduced]
        return F.elu(self.fuse(torch.cat(fitted, 1)))


def build_affinitynet(params: AffinityNetParams, weights: str | None = None) -> AffinityNet:
    """The network of `params`; `weights` (a file or "torchvision") for its backbone, random ones without."""
    norm = backbones.norm_kept(params.backbone, params.weights, None)
    built = backbones.build(params.backbone, weights=weights, output_stride=params.output_stride, frozen_norm=norm)
    return AffinityNet(built, params)


def embedding_affinity(embedding: torch.Tensor, radius: int) -> torch.Tensor:
    """W_ij = exp(-mean |f_i - f_j|) (PSA equation 3) of all pairs, (B, E, H, W) -> (B, P, h, w)."""
    here = affinity.sources(embedding, radius)
    distances = [
        (here - affinity.sources(embedding, radius, *offset)).abs().mean(1) for offset in affinity.offsets(radius)
    ]
    return torch.exp(-torch.stack(distances, 1))


def affinity_loss(embedding: torch.Tensor, labels: torch.Tensor, radius: int) -> dict[str, torch.Tensor]:
    """L = L+_fg + L+_bg + 2 L-, over 4: log loss of the affinities of related pairs (PSA equations 5 and 6)."""
    alike, pairs = embedding_affinity(embedding, radius), affinity.relations(labels, radius)
    together, apart = -torch.log(alike + affinity.EPSILON), -torch.log(1 - alike + affinity.EPSILON)
    foreground, background = (affinity.mean_over(together, chosen) for chosen in (pairs.foreground, pairs.background))
    negative = affinity.mean_over(apart, pairs.negative)
    loss = (foreground + background + 2 * negative) / 4
    return {"loss": loss, "foreground": foreground, "background": background, "negative": negative}


def majority(labels: torch.Tensor, stride: int) -> torch.Tensor:
    """Labels (H, W) -> (H / stride, W / stride): the commonest confident label of a cell, 255 without any."""
    values = [value for value in labels.unique().tolist() if value != affinity.IGNORED]
    if not values:
        return labels[::stride, ::stride].long()
    share = F.avg_pool2d(torch.stack([labels == value for value in values]).float(), stride)  # (K, h, w)
    most, best = share.max(0)
    return torch.tensor(values)[best].masked_fill(most == 0, affinity.IGNORED)


class ConfidentSamples:
    """Pictures with confident labels for `fit`: random scale, flip, crop."""

    def __init__(self, seen: TagView, labels: Artifact, params: AffinityNetParams):
        self.seen, self.labels, self.params = seen, labels, params

    def __len__(self) -> int:
        return len(self.seen.names)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        index, draw = key
        rng, name = np.random.default_rng(draw), self.seen.names[index]
        pair = self.seen.image(index), load_labels(self.labels / "labels", name)
        pair = augment.random_scale(*pair, self.params.scales, rng) if self.params.scales else pair
        picture, labels = augment.random_crop(*augment.random_flip(*pair, rng), self.params.crop, rng)
        cells = majority(torch.from_numpy(labels), self.params.stride)
        return {"name": name, "picture": augment.to_bytes(picture), "labels": cells}


def _loss(params: AffinityNetParams, model: AffinityNet, batch: dict) -> dict[str, torch.Tensor]:
    return affinity_loss(model(batch["picture"]).float(), batch["labels"], params.radius)


def train_affinitynet(
    out: Path,
    *,
    pictures: Artifact,
    labels: Artifact,
    classifier: Artifact | None = None,
    weights: Artifact | None = None,
    data: DataParams,
    affinitynet: AffinityNetParams,
    seed: int,
) -> None:
    """Stage: writes model.safetensors and log.csv. classifier, weights: where the backbone starts (`start`)."""
    torch.manual_seed(seed)
    from_tags = affinitynet.start == "classifier"
    model = build_affinitynet(affinitynet, None if from_tags else str(weights.path) if weights else affinitynet.weights)
    if from_tags:
        final.load_backbone(model.backbone, classifier / "model.safetensors")
    train.fit(
        model.to(device()),
        ConfidentSamples(TagView(open_set(pictures, data, "trainaug")), labels, affinitynet),
        functools.partial(_loss, affinitynet),
        _optimiser(model, affinitynet),
        out=out,
        seed=seed,
        epochs=affinitynet.epochs,
        batch_size=affinitynet.batch_size,
        precision=affinitynet.precision,
        title="AffinityNet",
    )
    train.save_model(model, out / "model.safetensors")


def _optimiser(model: AffinityNet, params: AffinityNetParams) -> torch.optim.Optimizer:
    heads = [*model.reduce.parameters(), *model.fuse.parameters()]
    groups = [{"params": heads, "lr": params.lr * params.head_lr_factor}]
    learning = [p for p in model.backbone.parameters() if p.requires_grad]
    groups += [{"params": learning, "lr": params.lr}] if learning else []
    if params.optimiser == "adamw":
        return torch.optim.AdamW(groups, weight_decay=params.weight_decay)
    return torch.optim.SGD(groups, momentum=params.momentum, weight_decay=params.weight_decay)
