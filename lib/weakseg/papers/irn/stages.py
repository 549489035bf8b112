"""The stages of IRN between a trained classifier and pseudo labels. Each is given what it may see, and nothing more."""

import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import TagView
from weakseg.nets import augment, fields, final
from weakseg.nets.relations import RelationSamples
from weakseg.ops.cam import grid_size
from weakseg.ops.pair_losses import grid_labels, irn_loss
from weakseg.papers.irn.model import IrNet, build_irnet
from weakseg.papers.irn.params import IrnetParams
from weakseg.study import train
from weakseg.study.artifacts import save_maps
from weakseg.study.machine import autocast, device
from weakseg.study.stages import Artifact


def irnet_loss(irnet: IrnetParams, model: IrNet, batch: dict) -> dict[str, torch.Tensor]:
    """The losses of a batch, with the weights of `irnet`."""
    logits, displacement = model(batch["picture"])
    weights = irnet.boundary_weight, irnet.displacement_weight
    labels = grid_labels(batch["labels"])
    return irn_loss(logits.float(), displacement.float(), labels, irnet.radius, *weights, halved=irnet.faithful)


def irnet_optimiser(model: IrNet, irnet: IrnetParams) -> torch.optim.Optimizer:
    """Groups for the boundary branch, the displacement branch and, where it learns, the backbone."""
    groups = [
        {"params": list(model.boundary.parameters()), "lr": irnet.lr},
        {"params": list(model.displacement.parameters()), "lr": irnet.lr * irnet.displacement_lr_factor},
    ]
    learning = [p for p in model.backbone.parameters() if p.requires_grad]
    if learning:
        groups.append({"params": learning, "lr": irnet.lr * irnet.backbone_lr_factor})
    if irnet.optimiser == "adamw":
        return torch.optim.AdamW(groups, weight_decay=irnet.weight_decay)
    momentum = irnet.weight_decay if irnet.faithful else irnet.momentum
    return torch.optim.SGD(groups, momentum=momentum, weight_decay=irnet.weight_decay)


def train_irnet(
    out: Path,
    *,
    pictures: Artifact,
    relation: Artifact,
    classifier: Artifact | None = None,
    weights: Artifact | None = None,
    data: DataParams,
    irnet: IrnetParams,
    seed: int,
) -> None:
    """Stage: trains on confident areas, then measures the mean shift; writes model.safetensors and log.csv.

    classifier: the trained tag classifier to start from, with irnet.start "classifier"; weights: the file that
    irnet.weights names, with "imagenet".
    """
    torch.manual_seed(seed)
    model = start_irnet(irnet, classifier, weights).to(device())
    seen = TagView(open_set(pictures, data, "trainaug"))
    train.fit(
        model,
        RelationSamples(seen, relation, irnet.crop, irnet.scales),
        functools.partial(irnet_loss, irnet),
        irnet_optimiser(model, irnet),
        out=out,
        seed=seed,
        epochs=irnet.epochs,
        batch_size=irnet.batch_size,
        precision=irnet.precision,
        title="IRNet",
    )
    if irnet.mean_shift:
        shift = fields.measure_shift(
            model, TagView(open_set(pictures, data, irnet.mean_shift_split)), irnet.crop, irnet.batch_size
        )
        model.mean_shift.copy_(shift)
    train.save_model(model, out / "model.safetensors")


def start_irnet(irnet: IrnetParams, classifier: Artifact | None, weights: Artifact | None) -> IrNet:
    """The network before training; ValueError when irnet.start asks for a classifier and there is none."""
    if irnet.start == "imagenet":
        return build_irnet(irnet, str(weights.path) if weights else irnet.weights)
    if classifier is None:
        raise ValueError("irnet.start: classifier needs a trained classifier; give one or set start to imagenet")
    model = build_irnet(irnet)
    final.load_backbone(model.backbone, classifier / "model.safetensors")
    return model


def make_fields(
    out: Path, *, model: Artifact, pictures: Artifact, data: DataParams, split: str, irnet: IrnetParams
) -> None:
    """Stage: one fields/<name>.npz per picture: boundary (h, w) and displacement (2, h, w), float16, stride 4."""
    seen = TagView(open_set(pictures, data, split))
    net = final.trained(build_irnet(irnet), model)
    sizes = [seen.image(index).shape[:2] for index in range(len(seen))]
    for positions, boundary, displacement in _fields(net, seen, irnet):
        for row, position in enumerate(positions):
            h, w = grid_size(sizes[position])
            save_maps(
                out / "fields",
                seen.names[position],
                boundary=boundary[row, :h, :w].astype(np.float16),
                displacement=displacement[row, :, :h, :w].astype(np.float16),
            )


def _fields(net: IrNet, seen: TagView, irnet: IrnetParams) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
    framed = (fields.framed(seen.image(index), irnet.crop) for index in range(len(seen)))
    for positions, batch in augment.same_size_batches(framed, irnet.infer_batch_size):
        with autocast(irnet.precision):
            boundary, displacement = fields.infer_fields(net, batch.to(device()))
        yield positions, boundary.cpu().numpy(), displacement.cpu().numpy()
