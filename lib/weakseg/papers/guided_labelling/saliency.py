"""Saliency from boxes: GrabCut makes masks of them, a DeepLab learns the masks (Oh et al. 2017, sections 5.1, 6.1).

The salient pictures show none of the study's classes; the net knows a foreground and a background, and no class.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from weakseg.data.msra import MsraSet
from weakseg.data.saliency import open_ecssd
from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import TagView
from weakseg.nets import augment
from weakseg.nets.deeplab import DeeplabParams, build_deeplab, label_loss
from weakseg.nets.final import LabelSet, boxes_of, fit_final, trained, with_file
from weakseg.ops.grabcut import grabcut
from weakseg.papers.guided_labelling.frame import frame_of, framed, unframed
from weakseg.study.artifacts import load_labels, load_maps, save_labels, save_maps
from weakseg.study.machine import device, parallel
from weakseg.study.params import Group
from weakseg.study.stages import Artifact

FULL = 255  # of the stored saliency: the picture's maximum


class SaliencyParams(Group):
    """source: "msra" takes the mean of the annotators' boxes; "ecssd" the box around each mask, and not the mask.
    iterations: of GrabCut. side: larger pictures are shrunk to this long side and all are padded to a square by
    reflection for the net; null takes them as they are. level: share of the picture's maximum that is salient."""

    source: Literal["msra", "ecssd"] = "msra"
    iterations: int = Field(5, ge=1)
    net: DeeplabParams
    side: int | None = Field(321, ge=32)
    level: float = Field(0.5, gt=0, le=1)


@dataclass(frozen=True)
class BoxedPictures:
    """Salient pictures with one box each: image(i) uint8 (H, W, 3), box(i) x0, y0, x1, y1. No mask to be had."""

    names: tuple[str, ...]
    image: Callable[[int], np.ndarray]
    box: Callable[[int], tuple[float, ...]]


def boxed_pictures(root: Path, source: str) -> BoxedPictures:
    """The salient pictures below the data root. FileNotFoundError with the mend when they are not there."""
    if source == "msra":
        annotated = MsraSet(root)
        return BoxedPictures(
            tuple(annotated.names), annotated.image, lambda i: tuple(annotated.average_box(i).tolist())
        )
    masked = open_ecssd(root)
    return BoxedPictures(tuple(masked.names), masked.image, lambda i: tuple(boxes_of(masked.mask(i)[None])[0].tolist()))


# ---------------------------------------------------------------- stages


def cut_targets(out: Path, *, pictures: Artifact, source: str, iterations: int) -> None:
    """Stage: semantic/<name>.png, 1 where GrabCut inside the box of a salient picture finds foreground."""
    count = len(boxed_pictures(pictures.path, source).names)
    job = functools.partial(_write_target, out, pictures.path, source, iterations)
    parallel(job, _chunks(count), title="GrabCut")


def _chunks(count: int, size: int = 32) -> list[range]:
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def _write_target(out: Path, root: Path, source: str, iterations: int, chunk: range) -> None:
    boxed = boxed_pictures(root, source)
    for index in chunk:
        mask = grabcut(boxed.image(index), boxed.box(index), iterations)
        save_labels(out / "semantic", boxed.names[index], mask.astype(np.uint8))


def train_saliency(
    out: Path,
    *,
    pictures: Artifact,
    targets: Artifact,
    weights: Artifact | None = None,
    saliency: SaliencyParams,
    seed: int,
) -> None:
    """Stage: trains the saliency net on the targets; writes model.safetensors and log.csv.

    weights: the file that saliency.net.weights names (see nets.backbones.weights_input).
    """
    torch.manual_seed(seed)
    boxed, net = boxed_pictures(pictures.path, saliency.source), saliency.net
    model = build_deeplab(with_file(net, weights), 2)
    labels = functools.partial(_target, targets, boxed.names)
    samples = LabelSet(boxed.names, boxed.image, labels, net.crop, net.scales, net.flip)
    fit_final(out, model, model.backbone, samples, label_loss, net.training, init=None, seed=seed, title="saliency")


def _target(targets: Artifact, names: tuple[str, ...], index: int) -> np.ndarray:
    return load_labels(targets / "semantic", names[index])


def find_salient(
    out: Path, *, model: Artifact, pictures: Artifact, data: DataParams, split: str, saliency: SaliencyParams
) -> None:
    """Stage: saliency/<name>.npz, the foreground probability over its maximum, uint8 (H, W), of every picture."""
    view = TagView(open_set(pictures, data, split))
    net = trained(build_deeplab(saliency.net, 2, pretrained=False), model)
    for position, stored in foreground_maps(net, view.image, range(len(view)), saliency):
        save_maps(out / "saliency", view.names[position], saliency=stored)


@torch.inference_mode()
def foreground_maps(
    net: nn.Module, image: Callable[[int], np.ndarray], indices: Sequence[int], saliency: SaliencyParams
) -> Iterator[tuple[int, np.ndarray]]:
    """(index, foreground probability over its maximum, uint8 (H, W)) of the pictures image(index); 0 where all is 0."""
    sizes = [image(index).shape[:2] for index in indices]
    frames = [frame_of(size, saliency.side, enlarge=False) for size in sizes]
    laid = (framed(image(index), frame) for index, frame in zip(indices, frames, strict=True))
    for positions, batch in augment.same_size_batches(laid, saliency.net.training.batch_size):
        probability = net(batch.to(device())).float().softmax(1)[:, 1].cpu().numpy()
        for position, each in zip(positions, probability, strict=True):
            full = unframed(each[None], sizes[position], frames[position])[0]
            yield indices[position], np.round(FULL * full / (full.max() or 1)).astype(np.uint8)


def read_saliency(saliency: Artifact, name: str) -> np.ndarray:
    """Saliency of one picture, float32 (H, W), maximum 1."""
    return load_maps(saliency / "saliency", name)["saliency"].astype(np.float32) / FULL


def foreground_iou(salient: np.ndarray, truth: np.ndarray, void: int = 255) -> float:
    """IoU in [0, 1] of a saliency mask bool (H, W) with all objects of a true label map; void does not count."""
    counts, objects = truth != void, (truth > 0) & (truth != void)
    union = ((salient | objects) & counts).sum()
    return float((salient & objects).sum() / union) if union else 0.0
