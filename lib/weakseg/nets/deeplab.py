"""DeepLab, the final semantic model: a dilated head on a backbone (methods 2.12, 6.5)."""
from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from weakseg.data.sets import DataParams
from weakseg.nets.final import Optimisation
from weakseg.ops.crf import CrfParams
from weakseg.study.params import Group
from weakseg.study.stages import Artifact


class DeeplabParams(Group):
    """Sizes are pixels. The defaults are the small form for 128 px pictures."""

    backbone: Literal["tiny", "small", "mobilenet_v2", "resnet50", "resnet101"] = "small"
    weights: str | None = None              # as in nets.backbones.build: a file, "torchvision", or None
    frozen_norm: bool = False
    output_stride: Literal[8, 16, 32] = 8
    head: Literal["largefov", "aspp"] = "aspp"
    rates: tuple[PositiveInt, ...] = (1, 2, 4)      # dilations of the head, in cells of the last map
    channels: PositiveInt = 128             # hidden width of "largefov"
    dropout: float = Field(0.0, ge=0, lt=1)
    crop: PositiveInt = 128                 # side of the training crop; smaller pictures are padded and ignored there
    scales: tuple[PositiveFloat, PositiveFloat] = (1.0, 1.0)    # random resizing before the crop, from and to
    flip: bool = True
    training: Optimisation = Optimisation(epochs=5)
    test_scales: tuple[PositiveFloat, ...] = (1.0,)
    test_flip: bool = True
    crf: CrfParams | None = None


def train_deeplab(out: Path, *, pictures: Artifact, labels: Artifact | None, init: Artifact | None = None,
                  data: DataParams, deeplab: DeeplabParams, split: str = "trainaug", seed: int) -> None:
    """Writes model.safetensors and log.csv."""


def predict_deeplab(out: Path, *, model: Artifact, pictures: Artifact, data: DataParams, split: str,
                    deeplab: DeeplabParams) -> None:
    """Writes semantic/<name>.png for every picture of the split."""
