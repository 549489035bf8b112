"""What the two final models share: how they are optimised, how they start, and the pictures with targets they see."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from safetensors.torch import load_file
from torch import Tensor, nn

from weakseg.data.sets import DataParams
from weakseg.nets import augment, backbones
from weakseg.study import train
from weakseg.study.machine import device
from weakseg.study.params import Group
from weakseg.study.stages import Artifact, Store


class Optimisation(Group):
    """How a final model is trained. The factor on `lr` rises linearly over `warmup` and is ruled by `schedule`."""

    batch_size: PositiveInt = 16
    epochs: PositiveInt | None = None  # exactly one of epochs and steps
    steps: PositiveInt | None = None
    method: Literal["sgd", "adamw"] = "sgd"
    lr: PositiveFloat = 0.01
    backbone_lr: PositiveFloat = 1.0  # factor on lr for the backbone
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0)
    warmup: float = Field(0.0, ge=0, lt=1)  # share of the training
    schedule: Literal["steps", "poly", "cosine"] = "poly"
    drops: tuple[float, ...] = ()  # progress in (0, 1) at which "steps" multiplies by 0.1
    until: float = Field(1.0, gt=0, le=1)  # share of the schedule that is gone through; below 1 it is stopped early
    clip: PositiveFloat | None = None  # largest gradient norm
    precision: Literal["fp32", "bf16"] = "fp32"

    @model_validator(mode="after")
    def _one_length(self) -> "Optimisation":
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give exactly one of epochs and steps, the other as null")
        return self

    def lr_at(self, progress: float) -> float:
        """Factor on the learning rate at `progress` in [0, 1)."""
        warm = min(1.0, (progress + 1e-3) / self.warmup) if self.warmup else 1.0
        progress = progress * self.until
        if self.schedule == "steps":
            return warm * 0.1 ** sum(progress >= drop for drop in self.drops)
        if self.schedule == "cosine":
            return warm * 0.5 * (1 + float(np.cos(np.pi * progress)))
        return warm * (1 - progress) ** 0.9

    def for_fit(self) -> dict:
        """The arguments that `study.train.fit` takes from here."""
        return {
            "epochs": self.epochs,
            "steps": self.steps,
            "batch_size": self.batch_size,
            "lr_at": self.lr_at,
            "precision": self.precision,
            "clip": self.clip,
        }


def optimiser(model: nn.Module, backbone: nn.Module, how: Optimisation) -> torch.optim.Optimizer:
    """Two groups of trainable parameters: the backbone's and all others."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    inside = {id(p) for p in backbone.parameters()}
    groups = [
        {"params": [p for p in trainable if id(p) in inside], "lr": how.lr * how.backbone_lr},
        {"params": [p for p in trainable if id(p) not in inside], "lr": how.lr},
    ]
    if how.method == "adamw":
        return torch.optim.AdamW(groups, weight_decay=how.weight_decay)
    return torch.optim.SGD(groups, momentum=how.momentum, weight_decay=how.weight_decay)


def load_backbone(backbone: nn.Module, weights: Path) -> None:
    """Starts `backbone` from the entries `backbone.*` of another network's file.

    Raises ValueError when that network stands on another backbone.
    """
    tensors = {k.removeprefix("backbone."): v for k, v in load_file(weights).items() if k.startswith("backbone.")}
    try:
        backbone.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(
            f"{weights}: holds another backbone than the network that starts from it; "
            f"name the same backbone in both parameter groups"
        ) from error


def with_file(params: Group, weights: Artifact | None) -> Group:
    """`params` whose `weights` is the file itself (see nets.backbones.weights_input), where there is one."""
    return params if weights is None else params.model_copy(update={"weights": str(weights.path)})


def untested(params: Group) -> Group:
    """`params` with the default `test`: the training does not depend on it, so its key does not either."""
    return params.model_copy(update={"test": type(params.test)()})


def fit_final(
    out: Path,
    model: nn.Module,
    backbone: nn.Module,
    samples: Any,
    losses: Callable[[nn.Module, dict], dict[str, Tensor]],
    how: Optimisation,
    *,
    init: Artifact | None,
    seed: int,
    title: str,
    collate: Callable[[list], dict] | None = None,
) -> None:
    """Starts `backbone`, a part of `model`, from the run `init` if any, and trains all of `model`.

    Writes model.safetensors and log.csv.
    """
    if init is not None:
        load_backbone(backbone, init / "model.safetensors")
    model.to(device())
    by = optimiser(model, backbone, how)
    train.fit(model, samples, losses, by, out=out, seed=seed, collate=collate, title=title, **how.for_fit())
    train.save_model(model, out / "model.safetensors")


def trained(net: nn.Module, run: Artifact) -> nn.Module:
    """`net` with what the run learned, in inference mode, on the machine's device."""
    train.load_model(net, run / "model.safetensors")
    return net.to(device()).eval()


def train_and_predict(
    store: Store,
    stages: tuple[Callable, Callable],
    group: str,
    params: Group,
    *,
    pictures: Artifact,
    labels: Artifact | None,
    init: Artifact | None,
    data: DataParams,
    split: str,
    train_split: str,
    seed: int,
) -> Artifact:
    """Trains on `train_split` and predicts `split`. stages: for either, which take `params` under the name `group`."""
    common, (learn, predict) = {"pictures": pictures, "data": data}, stages
    weights = backbones.weights_input(params.weights, params.backbone)
    starts = {"labels": labels, "init": init, "weights": weights, "seed": seed}
    model = store(learn, **common, **starts, split=train_split, **{group: untested(params)})
    return store(predict, **common, model=model, split=split, **{group: params})


def boxes_of(masks: np.ndarray) -> np.ndarray:
    """Tight boxes x0, y0, x1, y1 (pixels, half-open), (n, 4), of masks bool (n, H, W); zeros for an empty mask."""
    n, H, W = masks.shape
    columns, rows = masks.any(1), masks.any(2)
    boxes = np.stack(
        [columns.argmax(1), rows.argmax(1), W - columns[:, ::-1].argmax(1), H - rows[:, ::-1].argmax(1)], 1
    )
    return (boxes * columns.any(1)[:, None]).astype(np.float32)


class InstanceSet:
    """Pictures with instances as a detector wants them.

    instances(i) -> masks bool (n, H, W), labels int (n,) from 0. `draw` rules the random flip. Instances with a
    box side under `min_side` pixels are left out.
    """

    def __init__(
        self,
        names: Sequence[str],
        picture: Callable[[int], np.ndarray],
        instances: Callable[[int], tuple[np.ndarray, np.ndarray]],
        min_side: float,
        flip: bool,
    ):
        self.names, self.picture, self.instances, self.min_side, self.flip = names, picture, instances, min_side, flip

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        index, draw = key
        picture, (masks, labels) = self.picture(index), self.instances(index)
        if masks.shape[1:] != picture.shape[:2]:
            raise ValueError(f"{self.names[index]}: masks of {masks.shape[1:]} for a picture of {picture.shape[:2]}")
        if self.flip and np.random.default_rng(draw).random() < 0.5:
            picture, masks = picture[:, ::-1], masks[..., ::-1]
        boxes = boxes_of(masks)
        kept = (boxes[:, 2:] - boxes[:, :2]).min(1) >= max(self.min_side, 1)
        return {
            "name": self.names[index],
            "picture": augment.to_bytes(picture),
            "boxes": torch.from_numpy(boxes[kept]),
            "labels": torch.from_numpy(labels[kept].astype(np.int64) + 1),
            "masks": torch.from_numpy(masks[kept].astype(np.uint8)),
        }


def collate_instances(samples: Sequence[dict]) -> dict:
    """Samples of any sizes -> flat tensors: pictures and masks padded to the largest, instances one after another.

    picture (B, 3, H, W), size (B, 2), count (B,), boxes (N, 4), labels (N,) from 1, masks uint8 (N, H, W).
    """
    sizes = torch.tensor([sample["picture"].shape[1:] for sample in samples])
    H, W = sizes.amax(0).tolist()

    def pad(x: Tensor) -> Tensor:
        return nn.functional.pad(x, (0, W - x.shape[-1], 0, H - x.shape[-2]))

    return {
        "name": [sample["name"] for sample in samples],
        "size": sizes,
        "picture": torch.stack([pad(sample["picture"]) for sample in samples]),
        "count": torch.tensor([len(sample["labels"]) for sample in samples]),
        "boxes": torch.cat([sample["boxes"] for sample in samples]),
        "labels": torch.cat([sample["labels"] for sample in samples]),
        "masks": torch.cat([pad(sample["masks"]) for sample in samples]),
    }


class LabelSet:
    """Pictures with label maps, randomly resized, flipped and cut to squares; what lies outside the picture is ignored.

    label_map(i) -> uint8 (H, W), 0 background, 255 ignored. `scales`: smallest and largest factor of the resizing.
    """

    def __init__(
        self,
        names: Sequence[str],
        picture: Callable[[int], np.ndarray],
        label_map: Callable[[int], np.ndarray],
        crop: int,
        scales: tuple[float, float],
        flip: bool,
    ):
        self.names, self.picture, self.label_map = names, picture, label_map
        self.crop, self.scales, self.flip = crop, scales, flip

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        index, draw = key
        picture, labels = self.picture(index), self.label_map(index)
        if labels.shape != picture.shape[:2]:
            raise ValueError(f"{self.names[index]}: a label map of {labels.shape} for a picture of {picture.shape[:2]}")
        rng = np.random.default_rng(draw)
        picture, labels = augment.random_scale(picture, labels, self.scales, rng)
        if self.flip:
            picture, labels = augment.random_flip(picture, labels, rng)
        picture, labels = augment.random_crop(picture, labels, self.crop, rng)
        return {
            "name": self.names[index],
            "picture": augment.to_bytes(picture),
            "labels": torch.from_numpy(labels.astype(np.int64)),
        }
