"""The tag classifier whose last weights give class attention maps (Zhou et al. 2016; IRN section 3)."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import TagView
from weakseg.metrics.tags import TagEvidence
from weakseg.nets import augment, backbones
from weakseg.nets.final import trained
from weakseg.ops.cam import CamParams, Cams, merge, multi_scale
from weakseg.study import train
from weakseg.study.artifacts import load_maps, save_maps
from weakseg.study.machine import autocast, device
from weakseg.study.params import Group
from weakseg.study.stages import Artifact


class ClassifierParams(Group):
    """Defaults: IRN's released settings (methods 2.2) on ResNet-50.

    faithful: SGD with the momentum that the released code really uses, 1e-4, because it hands the weight decay to the
    optimiser in momentum's place; otherwise `momentum`.
    """

    backbone: backbones.Name = "resnet50"
    weights: str | None = "torchvision"
    output_stride: Literal[8, 16, 32] = 16
    frozen_norm: backbones.FrozenNorm | None = None
    cut_after: int = Field(3, ge=0, le=5)
    epochs: int = Field(5, ge=1)
    batch_size: int = Field(16, ge=1)
    lr: float = Field(0.1, gt=0)
    head_lr_factor: float = Field(10.0, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0)
    schedule: Literal["poly", "one_cycle"] = "poly"
    precision: Literal["fp32", "bf16"] = "fp32"
    long_side: tuple[int, int] | None = (320, 640)
    crop: int | None = Field(512, ge=16)
    faithful: bool = False


class CamClassifier(nn.Module):
    """Backbone, global average pooling, and a 1x1 convolution without bias; its weights are theta_c of equation (1)."""

    def __init__(self, backbone: backbones.Backbone, classes: int):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Conv2d(backbone.channels[-1], classes, 1, bias=False)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """pictures (B, 3, H, W) in [0, 1] -> logits (B, C)."""
        features = self.backbone(pictures)[-1]
        B, D, H, W = features.shape
        return self.head(features.mean((2, 3), keepdim=True)).flatten(1)  # (B, C)

    def cam(self, pictures: torch.Tensor) -> torch.Tensor:
        """Unnormalised attention theta_c^T f(x), (B, C, H/stride, W/stride), before any ReLU."""
        return self.head(self.backbone(pictures)[-1])


def build_classifier(params: ClassifierParams, classes: int, weights: str | None = None) -> CamClassifier:
    """The network of `params`; `weights` (a file or "torchvision") for its backbone, random ones without."""
    norm = backbones.norm_kept(params.backbone, params.weights, params.frozen_norm)
    backbone = backbones.build(
        params.backbone,
        weights=weights,
        output_stride=params.output_stride,
        frozen_norm=norm,
        cut_after=params.cut_after,
    )
    return CamClassifier(backbone, classes)


class TagSamples:
    """Pictures with tags for `fit`: random size, flip, crop."""

    def __init__(self, tagged: TagView, params: ClassifierParams):
        self.tagged, self.params = tagged, params

    def __len__(self) -> int:
        return len(self.tagged.names)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        index, draw = key
        rng = np.random.default_rng(draw)
        picture = self.tagged.image(index)
        if self.params.long_side:
            picture, _ = augment.random_long_side(picture, None, self.params.long_side, rng)
        picture, _ = augment.random_flip(picture, None, rng)
        if self.params.crop:
            picture, _ = augment.random_crop(picture, None, self.params.crop, rng)
        tags = torch.as_tensor(self.tagged.tags(index))
        return {"name": self.tagged.names[index], "picture": augment.to_bytes(picture), "tags": tags}


def tag_loss(model: CamClassifier, batch: dict) -> dict[str, torch.Tensor]:
    """Multi-label soft margin: sigmoid cross entropy averaged over classes and pictures."""
    return {"loss": F.multilabel_soft_margin_loss(model(batch["picture"]).float(), batch["tags"])}


def optimiser(model: CamClassifier, params: ClassifierParams) -> torch.optim.SGD:
    """SGD with one group for the backbone and one, at `head_lr_factor` times its rate, for the head."""
    groups = [
        {"params": [p for p in model.backbone.parameters() if p.requires_grad], "lr": params.lr},
        {"params": list(model.head.parameters()), "lr": params.lr * params.head_lr_factor},
    ]
    momentum = params.weight_decay if params.faithful else params.momentum
    return torch.optim.SGD(groups, momentum=momentum, weight_decay=params.weight_decay)


def train_classifier(
    out: Path,
    *,
    pictures: Artifact,
    weights: Artifact | None = None,
    data: DataParams,
    classifier: ClassifierParams,
    seed: int,
) -> None:
    """Stage: trains on the tags of the training pictures; writes model.safetensors and log.csv.

    weights: the file that classifier.weights names (see nets.backbones.weights_input).
    """
    torch.manual_seed(seed)
    tagged = TagView(open_set(pictures, data, "trainaug"))
    start = str(weights.path) if weights else classifier.weights
    model = build_classifier(classifier, len(tagged.classes), start).to(device())
    train.fit(
        model,
        TagSamples(tagged, classifier),
        tag_loss,
        optimiser(model, classifier),
        out=out,
        seed=seed,
        epochs=classifier.epochs,
        batch_size=classifier.batch_size,
        lr_at=train.poly(0.9) if classifier.schedule == "poly" else train.one_cycle(),
        precision=classifier.precision,
        title="classifier",
    )
    train.save_model(model, out / "model.safetensors")


def load_classifier(model: Artifact, params: ClassifierParams, classes: int) -> CamClassifier:
    """The trained network, in inference mode, on the machine's device."""
    return trained(build_classifier(params, classes), model)


def make_cams(
    out: Path,
    *,
    model: Artifact,
    pictures: Artifact,
    data: DataParams,
    split: str,
    classifier: ClassifierParams,
    cam: CamParams,
) -> None:
    """Stage: one cams/<name>.npz per picture with the attention of its tagged classes at every scale (`read_cams`)."""
    tagged = TagView(open_set(pictures, data, split))
    net = load_classifier(model, classifier, len(tagged.classes))
    images = (tagged.image(index) for index in range(len(tagged)))
    for positions, batch in augment.same_size_batches(images, cam.batch_size):
        with autocast(classifier.precision):
            maps = [m.cpu().numpy() for m in multi_scale(net, batch.to(device()), cam)]
        for row, position in enumerate(positions):
            classes = np.flatnonzero(tagged.tags(position))
            scales = {f"scale{k}": m[row, classes] for k, m in enumerate(maps)}
            size = np.array(batch.shape[-2:])
            save_maps(out / "cams", tagged.names[position], classes=classes, size=size, **scales)


def read_cams(cams: Artifact, name: str, stride: int = 4) -> Cams:
    """The normalised attention of one picture, on the grid of `stride` and at full size."""
    stored = load_maps(cams / "cams", name)
    maps = [stored[key] for key in sorted(stored) if key.startswith("scale")]
    return merge(maps, stored["classes"], tuple(int(side) for side in stored["size"]), stride)


@torch.inference_mode()
def score_tags(
    out: Path, *, model: Artifact, pictures: Artifact, data: DataParams, split: str, classifier: ClassifierParams
) -> None:
    """Stage: evidence.npz with the score of every class for every picture of the split."""
    tagged = TagView(open_set(pictures, data, split))
    net = load_classifier(model, classifier, len(tagged.classes))
    scores = np.zeros((len(tagged), len(tagged.classes)))
    images = (tagged.image(index) for index in range(len(tagged)))
    for positions, batch in augment.same_size_batches(images, classifier.batch_size):
        with autocast(classifier.precision):
            scores[positions] = net(batch.to(device())).float().cpu().numpy()
    truth = np.stack([tagged.tags(index) for index in range(len(tagged))])
    TagEvidence(scores, truth, np.array(tagged.names)).save(out / "evidence.npz")
