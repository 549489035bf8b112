"""The stages of IRN between a trained classifier and pseudo labels. Each is given what it may see, and nothing more."""

import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from weakseg.data.sets import DataParams, open_set
from weakseg.data.voc import VocSet
from weakseg.data.weak import TagView
from weakseg.nets import augment, final
from weakseg.nets.classifier import read_cams
from weakseg.ops.affinity import IGNORED
from weakseg.ops.cam import grid_size, label_map
from weakseg.ops.crf import CrfParams, refine_labels
from weakseg.papers.irn import infer
from weakseg.papers.irn.losses import grid_labels, irn_loss
from weakseg.papers.irn.model import IrNet, build_irnet
from weakseg.papers.irn.params import IrnetParams, RelationParams
from weakseg.study import train
from weakseg.study.artifacts import load_labels, save_labels, save_maps
from weakseg.study.machine import device, parallel
from weakseg.study.stages import Artifact

# ---------------------------------------------------------------- confident areas


def confident(image: np.ndarray, cams: np.ndarray, threshold: float, crf: CrfParams | None) -> np.ndarray:
    """Label map (H, W), 0 background, k + 1 for cams[k]: attention above `threshold`, refined as hard labels."""
    labels = label_map(cams, threshold)
    return labels if crf is None else refine_labels(image, labels, len(cams) + 1, crf).argmax(0)


def relation_map(image: np.ndarray, cams: np.ndarray, classes: np.ndarray, relation: RelationParams) -> np.ndarray:
    """Confident areas, uint8 (H, W): class c + 1 where the map of the high threshold says so, background where the maps
    of both thresholds do, 255 elsewhere. cams: (n, H, W) of the tagged classes (n,)."""
    high = confident(image, cams, relation.foreground, relation.crf)
    low = confident(image, cams, relation.background, relation.crf)
    names = np.concatenate([[0], classes + 1]).astype(np.uint8)
    return np.where((high == 0) & (low != 0), IGNORED, names[high]).astype(np.uint8)


def _write_relation(pictures: VocSet, cams: Artifact, relation: RelationParams, out: Path, index: int) -> None:
    seen = TagView(pictures)
    attention = read_cams(cams, seen.names[index])
    labels = relation_map(seen.image(index), attention.high, attention.classes, relation)
    save_labels(out / "labels", seen.names[index], labels)


def label_relations(
    out: Path, *, pictures: Artifact, cams: Artifact, data: DataParams, split: str, relation: RelationParams
) -> None:
    """Stage: one labels/<name>.png of confident areas per picture."""
    opened = open_set(pictures, data, split)
    job = functools.partial(_write_relation, opened, cams, relation, out)
    parallel(job, range(len(opened)), title="relation labels")


# ---------------------------------------------------------------- IRNet


class RelationSamples:
    """Pictures with confident areas for `fit`: random scale, flip, crop; labels on the stride-4 grid."""

    def __init__(self, seen: TagView, relation: Artifact, irnet: IrnetParams):
        self.seen, self.relation, self.irnet = seen, relation, irnet

    def __len__(self) -> int:
        return len(self.seen.names)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        index, draw = key
        rng = np.random.default_rng(draw)
        pair = self.seen.image(index), load_labels(self.relation / "labels", self.seen.names[index])
        if self.irnet.scales:
            pair = augment.random_scale(*pair, self.irnet.scales, rng)
        picture, labels = augment.random_crop(*augment.random_flip(*pair, rng), self.irnet.crop, rng)
        labels = torch.from_numpy(labels)
        return {"name": self.seen.names[index], "picture": augment.to_tensor(picture), "labels": labels}


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
        RelationSamples(seen, relation, irnet),
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
        shift = measure_shift(model, TagView(open_set(pictures, data, irnet.mean_shift_split)), irnet)
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


@torch.inference_mode()
def measure_shift(model: IrNet, seen: TagView, irnet: IrnetParams) -> torch.Tensor:
    """Mean displacement (2,) over the top-left crops of the pictures, padding and background included.

    The last incomplete batch is dropped, unless it is the only one.
    """
    model.eval()
    crops = (augment.window(seen.image(index), None, irnet.crop, irnet.crop)[0] for index in range(len(seen)))
    full = min(irnet.batch_size, len(seen))
    batches = (batch for _, batch in augment.same_size_batches(crops, full) if len(batch) == full)
    return torch.stack([model(batch.to(device()))[1].float().mean((0, 2, 3)) for batch in batches]).mean(0)


def make_fields(
    out: Path, *, model: Artifact, pictures: Artifact, data: DataParams, split: str, irnet: IrnetParams
) -> None:
    """Stage: one fields/<name>.npz per picture: boundary (h, w) and displacement (2, h, w), float16, stride 4."""
    seen = TagView(open_set(pictures, data, split))
    net = final.trained(build_irnet(irnet), model)
    sizes = [seen.image(index).shape[:2] for index in range(len(seen))]
    for positions, boundary, displacement in _fields(net, seen, irnet):
        for row, position in enumerate(positions):
            grid = grid_size(sizes[position])
            save_maps(
                out / "fields",
                seen.names[position],
                boundary=infer.fitted(boundary[row], grid, 1.0).astype(np.float16),
                displacement=infer.fitted(displacement[row], grid, 0.0).astype(np.float16),
            )


def _fields(net: IrNet, seen: TagView, irnet: IrnetParams) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
    framed = (infer.framed(seen.image(index), irnet.crop, irnet.faithful) for index in range(len(seen)))
    for positions, batch in augment.same_size_batches(framed, irnet.infer_batch_size):
        boundary, displacement = infer.infer_fields(net, batch.to(device()))
        yield positions, boundary.cpu().numpy(), displacement.cpu().numpy()
