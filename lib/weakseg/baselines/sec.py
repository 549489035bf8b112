"""SEC (Kolesnikov and Lampert, ECCV 2016): seed, expand, constrain; a segmentation net from tags alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path

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
from weakseg.nets.classifier import CamClassifier, ClassifierParams, load_classifier
from weakseg.nets.deeplab import DeeplabParams, build_deeplab, predict_deeplab
from weakseg.nets.final import fit_final, untested, with_file
from weakseg.ops.cam import CamParams, grid_size, multi_scale
from weakseg.ops.crf import CrfParams
from weakseg.ops.seed_losses import NO_CUE, constrain_loss, crf_targets, expand_loss, guides_of, seed_loss, smoothed
from weakseg.study.artifacts import load_labels, save_labels
from weakseg.study.machine import device
from weakseg.study.params import Group
from weakseg.study.stages import Artifact, Store


class CueParams(Group):
    """Where the net is told what it sees.

    foreground: share of a class map's maximum above which a cell is a cue. background: share of the cells, those with
    the weakest gradient, that are background cues. stage: the backbone map at which the gradient is taken. The released
    code takes VGG-16's conv4_1, of stride 8. On a residual net and MobileNetV2 the third map has that stride, on
    VGG-16 the fourth, which is conv4_3: its maps close a stage. cam: how attention is read from the tag classifier.
    """

    foreground: float = Field(0.2, gt=0, lt=1)
    background: float = Field(0.1, gt=0, lt=1)
    stage: int = Field(3, ge=1, le=5)
    cam: CamParams = CamParams(scales=(1.0,), flip=False)


class SecParams(Group):
    """Defaults: the released settings (methods 7.1).

    net: the segmentation net, its optimisation and how it labels. side: training pictures are resized to a square of
    this side; null takes them as they are. decay_foreground, decay_background: rank pooling weights per rank on the
    paper's grid of 41 x 41 cells; other grids give the same weight to the same share of the ranks. crf: of the
    constrain loss, widths in cells of the net's grid (the released 80 and 3 pixels, over 12).
    """

    net: DeeplabParams
    cues: CueParams = CueParams()
    side: int | None = Field(321, ge=32)
    decay_foreground: float = Field(0.996, gt=0, lt=1)
    decay_background: float = Field(0.999, gt=0, lt=1)
    crf: CrfParams = CrfParams(bilateral_xy=80 / 12, bilateral_rgb=13.0, gaussian_xy=3 / 12)


# ---------------------------------------------------------------- cues


def saliency(model: CamClassifier, pictures: Tensor, stage: int) -> Tensor:
    """At backbone map number `stage`, the largest absolute gradient over the channels of the sum of all class scores.

    pictures (B, 3, H, W) -> (B, h, w).
    """
    backbone = model.backbone
    x = (pictures - backbone.mean) / backbone.std
    with torch.no_grad():
        for earlier in backbone.stages[:stage]:
            x = earlier(x)
    features = x = x.detach().requires_grad_()
    for later in backbone.stages[stage:]:
        x = later(x)
    (gradient,) = torch.autograd.grad(model.head(x.mean((2, 3), keepdim=True)).sum(), features)
    return gradient.abs().amax(dim=1)


def cue_map(attention: np.ndarray, classes: np.ndarray, gradient: np.ndarray, cues: CueParams) -> np.ndarray:
    """Cues uint8 (h, w): 0 background, k + 1 for class k, 255 no cue. Where cues meet, the smaller region wins.

    Args:
        attention: (n, h, w) of the tagged classes (n,), not negative. gradient: (h, w).
    """
    peak = attention.max(axis=(1, 2), keepdims=True, initial=0)
    foreground = (attention > cues.foreground * peak) & (peak > 0)
    smooth = cv2.medianBlur(gradient.astype(np.float32), 3)
    background = smooth < np.quantile(smooth, cues.background)
    regions = np.concatenate([background[None], foreground])
    values = np.concatenate([[0], np.asarray(classes, dtype=np.int64) + 1])
    result = np.full(gradient.shape, NO_CUE, dtype=np.uint8)
    for number in np.argsort(-regions.sum(axis=(1, 2)), kind="stable"):  # the largest first, smaller ones over it
        result[regions[number]] = values[number]
    return result


def sec_cues(
    out: Path,
    *,
    model: Artifact,
    pictures: Artifact,
    data: DataParams,
    classifier: ClassifierParams,
    cues: CueParams,
    side: int | None,
    stride: int,
) -> None:
    """Stage: writes cues/<name>.png of every training picture, on the grid of stride `stride` over its resized form.

    model: the trained tag classifier. Reads photos and tags only.
    """
    view = TagView(open_set(pictures, data, "trainaug"))
    net = load_classifier(model, classifier, len(view.classes)).requires_grad_(False)
    images = (square(view.image(index), side) for index in range(len(view)))
    for positions, batch in augment.same_size_batches(images, classifier.batch_size):
        batch = batch.to(device())
        grid = grid_size(batch.shape[2:], stride)
        attention = sum(_resized(each, grid) for each in multi_scale(net, batch, cues.cam))
        gradients = _resized(saliency(net, batch, cues.stage)[:, None], grid)[:, 0]
        for position, each, gradient in zip(positions, attention, gradients, strict=True):
            tagged = np.flatnonzero(view.tags(position))
            label_map = cue_map(each[tagged], tagged, gradient, cues)
            save_labels(out / "cues", view.names[position], label_map)


def _resized(maps: Tensor, grid: tuple[int, int]) -> np.ndarray:
    return F.interpolate(maps, grid, mode="bilinear", align_corners=False).cpu().numpy()


# ---------------------------------------------------------------- training and use


def sec_loss(sec: SecParams, model: nn.Module, batch: dict) -> dict[str, Tensor]:
    """Seed + expand + constrain, equation 1."""
    probabilities = smoothed(model(batch["picture"]).float())
    guides = guides_of(batch["picture"], probabilities.shape[2:])
    parts = {
        "seed": seed_loss(probabilities, batch["cues"]),
        "expand": expand_loss(probabilities, batch["tags"], sec.decay_foreground, sec.decay_background),
        "constrain": constrain_loss(probabilities, crf_targets(probabilities, guides, sec.crf)),
    }
    return {"loss": sum(parts.values()), **parts}


class CuedPictures:
    """Pictures with cues and tags for `fit`, mirrored in one of two cases where the net's parameters say so."""

    def __init__(self, view: TagView, cues: Artifact, sec: SecParams):
        self.view, self.cues, self.sec = view, cues, sec

    def __len__(self) -> int:
        return len(self.view)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        index, draw = key
        picture, cues = (
            square(self.view.image(index), self.sec.side),
            load_labels(self.cues / "cues", self.view.names[index]),
        )
        if self.sec.net.flip:
            picture, cues = augment.random_flip(picture, cues, np.random.default_rng(draw))
        return {
            "name": self.view.names[index],
            "picture": augment.to_bytes(picture),
            "cues": torch.from_numpy(cues.astype(np.int64)),
            "tags": torch.as_tensor(self.view.tags(index)),
        }


def train_sec(
    out: Path,
    *,
    pictures: Artifact,
    cues: Artifact,
    init: Artifact | None = None,
    weights: Artifact | None = None,
    data: DataParams,
    sec: SecParams,
    seed: int,
) -> None:
    """Stage: trains the segmentation net on tags and cues; writes model.safetensors and log.csv.

    init: a run whose model.safetensors holds the same backbone, to start from where no pretrained weights exist.
    weights: the file that sec.net.weights names (see nets.backbones.weights_input).
    """
    torch.manual_seed(seed)
    view = TagView(open_set(pictures, data, "trainaug"))
    model = build_deeplab(with_file(sec.net, weights), len(view.classes) + 1)
    samples, losses, how = CuedPictures(view, cues, sec), partial(sec_loss, sec), sec.net.training
    fit_final(out, model, model.backbone, samples, losses, how, init=init, seed=seed, title="SEC")


def label_maps(
    store: Store,
    *,
    pictures: Artifact,
    model: Artifact,
    classifier: ClassifierParams,
    init: Artifact | None,
    data: DataParams,
    sec: SecParams,
    split: str,
    seed: int,
) -> Artifact:
    """Cues from the tag classifier `model`, training, prediction: an artifact with semantic/ of the split.

    The training does not depend on `sec.net.test`, so its key does not either.
    """
    cues = store(
        sec_cues,
        model=model,
        pictures=pictures,
        data=data,
        classifier=classifier,
        cues=sec.cues,
        side=sec.side,
        stride=sec.net.output_stride,
    )
    trained = sec.model_copy(update={"net": untested(sec.net)})
    starts = {"init": init, "weights": backbones.weights_input(sec.net.weights, sec.net.backbone)}
    net = store(train_sec, pictures=pictures, cues=cues, **starts, data=data, sec=trained, seed=seed)
    return store(predict_deeplab, model=net, pictures=pictures, data=data, split=split, deeplab=sec.net)
