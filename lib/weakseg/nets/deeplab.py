"""DeepLab, the final semantic model: a dilated head on a backbone (methods 2.12, 6.5).

`labels=None` trains on the true masks, an artifact of label maps on those, and nothing else differs.
"""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import MaskView, TagView
from weakseg.nets import augment, backbones
from weakseg.nets.final import LabelSet, Optimisation, fit_final, train_and_predict, trained, with_file
from weakseg.nets.resize import bilinear
from weakseg.ops.crf import CrfParams, refine
from weakseg.study.artifacts import load_labels, save_labels
from weakseg.study.machine import autocast, device, parallel
from weakseg.study.params import Group
from weakseg.study.stages import Artifact, Store

FUSED_STRIDE = 4  # scores of all scales meet on a grid of this stride, which bounds memory on full-size pictures


class LabellingParams(Group):
    """How scores become label maps. Nothing here changes the training."""

    scales: tuple[PositiveFloat, ...] = (1.0,)
    flip: bool = True
    crf: CrfParams | None = None


class DeeplabParams(Group):
    """Sizes are pixels. The defaults are the small form for 128 px pictures."""

    backbone: backbones.Name = "small"
    weights: str | None = None
    frozen_norm: backbones.FrozenNorm | None = None
    cut_after: int = Field(0, ge=0, le=5)  # so many of the backbone's stages stay as they are; usual with ImageNet: 2
    output_stride: Literal[8, 16, 32] = 8
    dilated: bool = True  # later stages are dilated where they lost their stride; as in the network of `init`, if any
    head: Literal["largefov", "aspp"] = "aspp"
    rates: tuple[PositiveInt, ...] = Field((1, 2, 4), min_length=1)  # dilations, in cells; "largefov" uses the first
    channels: PositiveInt = 128  # hidden width of "largefov"
    dropout: float = Field(0.0, ge=0, lt=1)
    crop: PositiveInt = 128  # side of the training window
    scales: tuple[PositiveFloat, PositiveFloat] = (1.0, 1.0)  # random resizing before the crop, from and to
    flip: bool = True
    training: Optimisation = Optimisation(epochs=5)
    test: LabellingParams = LabellingParams()


class LargeFov(nn.Sequential):
    """DeepLab-LargeFOV's last layers: a dilated 3x3 convolution (fc6), then 1x1 (fc7, fc8)."""

    def __init__(self, inputs: int, classes: int, rate: int, channels: int, dropout: float):
        super().__init__(
            *(nn.Conv2d(inputs, channels, 3, padding=rate, dilation=rate), nn.ReLU(), nn.Dropout(dropout)),
            *(nn.Conv2d(channels, channels, 1), nn.ReLU(), nn.Dropout(dropout)),
            nn.Conv2d(channels, classes, 1),
        )


class Aspp(nn.Module):
    """DeepLab v2's head on a residual net: the sum of parallel 3x3 classifiers of several dilations."""

    def __init__(self, inputs: int, classes: int, rates: tuple[int, ...], dropout: float):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.branches = nn.ModuleList(nn.Conv2d(inputs, classes, 3, padding=rate, dilation=rate) for rate in rates)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, classes, H, W)."""
        x = self.dropout(x)
        return sum(branch(x) for branch in self.branches)


class Deeplab(nn.Module):
    """Scores of `classes` classes (background included) on the grid of the backbone's last map."""

    def __init__(self, backbone: backbones.Backbone, head: nn.Module):
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, pictures: Tensor) -> Tensor:
        """pictures (B, 3, H, W) in [0, 1] -> scores (B, K, H/stride, W/stride), before softmax."""
        return self.head(self.backbone(pictures)[-1])


def build_deeplab(params: DeeplabParams, classes: int, pretrained: bool = True) -> Deeplab:
    """The network of `params` for `classes` classes, the background (class 0) included."""
    norm = backbones.norm_kept(params.backbone, params.weights, params.frozen_norm)
    weights = params.weights if pretrained else None
    stride = params.output_stride
    backbone = backbones.build(
        params.backbone,
        weights=weights,
        output_stride=stride,
        frozen_norm=norm,
        cut_after=params.cut_after,
        dilated=params.dilated,
    )
    inputs = backbone.channels[-1]
    if params.head == "largefov":
        return Deeplab(backbone, LargeFov(inputs, classes, params.rates[0], params.channels, params.dropout))
    return Deeplab(backbone, Aspp(inputs, classes, params.rates, params.dropout))


def label_loss(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Cross entropy of the upsampled scores with labels (B, H, W), mean over the pixels that are not ignored (255)."""
    labels = batch["labels"]
    scores = bilinear(model(batch["picture"]).float(), labels.shape[1:])
    total = F.cross_entropy(scores, labels, ignore_index=augment.VOID, reduction="sum")
    return {"loss": total / (labels != augment.VOID).sum().clamp(min=1)}


def train_deeplab(
    out: Path,
    *,
    pictures: Artifact,
    labels: Artifact | None,
    init: Artifact | None = None,
    weights: Artifact | None = None,
    data: DataParams,
    deeplab: DeeplabParams,
    split: str = "trainaug",
    seed: int,
) -> None:
    """Stage: trains on the label maps `labels`/semantic/<name>.png, or on the true ones where `labels` is None.

    init: a run whose model.safetensors holds the same backbone, to start from.
    weights: the file that deeplab.weights names (see nets.backbones.weights_input).
    Writes model.safetensors and log.csv.
    """
    torch.manual_seed(seed)
    whole = open_set(pictures, data, split)
    view = MaskView(whole) if labels is None else TagView(whole)
    label_map = view.semantic if labels is None else lambda i: load_labels(labels / "semantic", view.names[i])
    model = build_deeplab(with_file(deeplab, weights), len(view.classes) + 1)
    samples = LabelSet(view.names, view.image, label_map, deeplab.crop, deeplab.scales, deeplab.flip)
    how = deeplab.training
    fit_final(out, model, model.backbone, samples, label_loss, how, init=init, seed=seed, title="DeepLab")


def predict_deeplab(
    out: Path,
    *,
    model: Artifact,
    pictures: Artifact,
    data: DataParams,
    split: str,
    deeplab: DeeplabParams,
) -> None:
    """Stage: writes semantic/<name>.png for every picture of the split."""
    view = TagView(open_set(pictures, data, split))
    net = trained(build_deeplab(deeplab, len(view.classes) + 1, pretrained=False), model)
    images = [view.image(index) for index in range(len(view.names))]
    scored = score_pictures(net, images, deeplab)
    items = [(view.names[position], images[position], scores) for position, scores in scored]
    parallel(functools.partial(_write_labels, out / "semantic", deeplab.test.crf), items, title="labels")


def score_pictures(
    net: nn.Module, images: list[np.ndarray], deeplab: DeeplabParams
) -> Iterator[tuple[int, np.ndarray]]:
    """(position, scores float16 (K, H/4, W/4)) of every picture, averaged over test scales and flip."""
    for positions, batch in augment.same_size_batches(images, deeplab.training.batch_size):
        with autocast(deeplab.training.precision):
            fused = fused_scores(net, batch.to(device()), deeplab.test.scales, deeplab.test.flip)
        yield from zip(positions, fused.half().cpu().numpy(), strict=True)


@torch.inference_mode()
def fused_scores(net: nn.Module, pictures: Tensor, scales: tuple[float, ...], flip: bool) -> Tensor:
    """Mean of the scores of pictures (B, 3, H, W) at all scales, mirrored too where asked: (B, K, H/4, W/4)."""
    B, C, H, W = pictures.shape
    grid = (-(-H // FUSED_STRIDE), -(-W // FUSED_STRIDE))
    total = []
    for scale in scales:
        scaled = pictures if scale == 1 else F.interpolate(pictures, scale_factor=scale, mode="bilinear")
        scores = net(scaled) + net(scaled.flip(3)).flip(3) if flip else net(scaled)
        total.append(F.interpolate(scores, grid, mode="bilinear", align_corners=False))
    return sum(total) / len(total) / (1 + flip)


def label_map_of(image: np.ndarray, scores: np.ndarray, crf: CrfParams | None) -> np.ndarray:
    """Labels uint8 (H, W) of image (H, W, 3) from scores (K, h, w): upsampled, softmax, CRF where given, argmax."""
    H, W, _ = image.shape
    scores = cv2.resize(scores.astype(np.float32).transpose(1, 2, 0), (W, H)).transpose(2, 0, 1)  # (K, H, W)
    raised = np.exp(scores - scores.max(0))
    probabilities = raised / raised.sum(0)
    return (probabilities if crf is None else refine(image, probabilities, crf)).argmax(0).astype(np.uint8)


def _write_labels(folder: Path, crf: CrfParams | None, item: tuple[str, np.ndarray, np.ndarray]) -> None:
    name, image, scores = item
    save_labels(folder, name, label_map_of(image, scores, crf))


def final_semantic(
    store: Store,
    *,
    pictures: Artifact,
    labels: Artifact | None,
    init: Artifact | None = None,
    data: DataParams,
    deeplab: DeeplabParams,
    split: str,
    train_split: str = "trainaug",
    seed: int,
) -> Artifact:
    """Trains on `train_split` and predicts `split`. The key of the training leaves `deeplab.test` out."""
    shared = {"pictures": pictures, "labels": labels, "init": init, "data": data, "seed": seed}
    stages = train_deeplab, predict_deeplab
    return train_and_predict(store, stages, "deeplab", deeplab, **shared, split=split, train_split=train_split)
