"""What the baselines that learn a segmentation net straight from tags share: their pictures and their training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from weakseg.baselines.inputs import square
from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import TagView
from weakseg.nets import augment, backbones
from weakseg.nets.deeplab import DeeplabParams, build_deeplab, predict_deeplab
from weakseg.nets.final import fit_final, untested, with_file
from weakseg.study.stages import Artifact, Store

Loss = Callable[[Tensor, Tensor], Tensor]  # scores (B, C + 1, h, w), allowed bool (B, C + 1) -> scalar


def allowed_labels(tags: Tensor) -> Tensor:
    """bool (B, C + 1): the background and the tagged classes, from tags (B, C) of 0 and 1."""
    return torch.cat([torch.ones_like(tags[:, :1]), tags], 1) > 0


class TaggedPictures:
    """Pictures with tags for `fit`, resized to squares where `side` is given, mirrored in one of two cases."""

    def __init__(self, view: TagView, side: int | None, flip: bool):
        self.view, self.side, self.flip = view, side, flip

    def __len__(self) -> int:
        return len(self.view)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        index, draw = key
        picture = square(self.view.image(index), self.side)
        if self.flip:
            picture, _ = augment.random_flip(picture, None, np.random.default_rng(draw))
        tags = torch.as_tensor(self.view.tags(index))
        return {"name": self.view.names[index], "picture": augment.to_bytes(picture), "tags": tags}


def fit_on_tags(
    out: Path,
    loss: Loss,
    *,
    pictures: Artifact,
    init: Artifact | None,
    weights: Artifact | None,
    data: DataParams,
    net: DeeplabParams,
    side: int | None,
    seed: int,
    title: str,
) -> None:
    """Trains `net` on the tags of the training pictures; writes model.safetensors and log.csv.

    init: a run whose model.safetensors holds the same backbone; weights: the file that net.weights names.
    """
    torch.manual_seed(seed)
    view = TagView(open_set(pictures, data, "trainaug"))
    model = build_deeplab(with_file(net, weights), len(view.classes) + 1)

    def loss_of(model: nn.Module, batch: dict) -> dict[str, Tensor]:
        return {"loss": loss(model(batch["picture"]).float(), allowed_labels(batch["tags"]))}

    samples = TaggedPictures(view, side, net.flip)
    fit_final(out, model, model.backbone, samples, loss_of, net.training, init=init, seed=seed, title=title)


def train_and_label(
    store: Store,
    stage: Callable,
    params,
    *,
    pictures: Artifact,
    init: Artifact | None,
    data: DataParams,
    split: str,
    seed: int,
) -> Artifact:
    """Trains by `stage` and predicts: an artifact with semantic/ of the split.

    params: a group with the segmentation net as `net`, handed to the stage as `params`, without how it is tested.
    """
    trained = params.model_copy(update={"net": untested(params.net)})
    weights = backbones.weights_input(params.net.weights, params.net.backbone)
    model = store(stage, pictures=pictures, init=init, weights=weights, data=data, params=trained, seed=seed)
    return store(predict_deeplab, model=model, pictures=pictures, data=data, split=split, deeplab=params.net)
