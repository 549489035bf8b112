"""What the two final models share: how they are optimised, how they start, and the pictures with targets they see."""
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from safetensors.torch import load_file
from torch import Tensor, nn

from weakseg.study.params import Group


class Optimisation(Group):
    """How a final model is trained. The factor on `lr` rises linearly over `warmup`, then follows `schedule`."""

    batch_size: PositiveInt = 16
    epochs: PositiveInt | None = None       # exactly one of epochs and steps
    steps: PositiveInt | None = None
    method: Literal["sgd", "adamw"] = "sgd"
    lr: PositiveFloat = 0.01
    backbone_lr: PositiveFloat = 1.0        # factor on lr for the backbone
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0)
    warmup: float = Field(0.0, ge=0, lt=1)  # share of the training
    schedule: Literal["steps", "poly", "cosine"] = "poly"
    drops: tuple[float, ...] = ()           # progress in (0, 1) at which "steps" multiplies by 0.1
    clip: PositiveFloat | None = None       # largest gradient norm
    precision: Literal["fp32", "bf16"] = "fp32"

    @model_validator(mode="after")
    def one_length(self) -> "Optimisation":
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give exactly one of epochs and steps")
        return self

    def lr_at(self, progress: float) -> float:
        """Factor on the learning rate at `progress` in [0, 1)."""
        warm = min(1.0, (progress + 1e-3) / self.warmup) if self.warmup else 1.0
        if self.schedule == "steps":
            return warm * 0.1 ** sum(progress >= drop for drop in self.drops)
        if self.schedule == "cosine":
            return warm * 0.5 * (1 + float(np.cos(np.pi * progress)))
        return warm * (1 - progress) ** 0.9


def optimiser(model: nn.Module, backbone: nn.Module, how: Optimisation) -> torch.optim.Optimizer:
    """Two groups of trainable parameters: the backbone's and the others'."""
    inside = {id(p) for p in backbone.parameters()}
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = [{"params": [p for p in trainable if id(p) in inside], "lr": how.lr * how.backbone_lr},
              {"params": [p for p in trainable if id(p) not in inside], "lr": how.lr}]
    if how.method == "adamw":
        return torch.optim.AdamW(groups, weight_decay=how.weight_decay)
    return torch.optim.SGD(groups, momentum=how.momentum, weight_decay=how.weight_decay)


def load_backbone(backbone: nn.Module, weights: Path) -> None:
    """Starts `backbone` from the entries `backbone.*` of another network's file.

    Raises ValueError when that network has another backbone.
    """
    tensors = {k.removeprefix("backbone."): v for k, v in load_file(weights).items() if k.startswith("backbone.")}
    try:
        backbone.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{weights}: holds another backbone than the one to be started from it; "
                         f"use the same `backbone` in both parameter groups") from error
