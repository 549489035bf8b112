"""The saliency branch: attention, CRF, pseudo masks, a net that learns them (WSID-Net section 4.1)."""

import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from weakseg.data.coco import PictureSet
from weakseg.data.salient_instances import Source, open_salient
from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import TagView
from weakseg.nets.classifier import read_cams
from weakseg.nets.deeplab import DeeplabParams
from weakseg.nets.saliency import fit_saliency, read_saliency
from weakseg.ops.crf import refine
from weakseg.papers.wsid_net.params import PseudoSaliencyParams
from weakseg.study.artifacts import load_labels, save_labels, save_maps
from weakseg.study.machine import parallel
from weakseg.study.stages import Artifact


def pseudo_mask(image: np.ndarray, cams: np.ndarray, pseudo: PseudoSaliencyParams) -> np.ndarray:
    """Salient mask bool (H, W): attention of the tagged classes beside a constant background, refined by the CRF, and
    the union of all classes. image: uint8 (H, W, 3); cams: (n, H, W) in [0, 1]; n may be 0."""
    scores = np.concatenate([np.full((1, *cams.shape[1:]), pseudo.background, np.float32), cams])
    if pseudo.crf is not None and len(cams):
        scores = refine(image, scores / scores.sum(0), pseudo.crf)
    return scores.argmax(0) > 0


def _write_mask(pictures: PictureSet, cams: Artifact, pseudo: PseudoSaliencyParams, out: Path, index: int) -> None:
    seen = TagView(pictures)
    mask = pseudo_mask(seen.image(index), read_cams(cams, seen.names[index]).high, pseudo)
    save_labels(out / "semantic", seen.names[index], mask.astype(np.uint8))


def label_saliency(
    out: Path, *, pictures: Artifact, cams: Artifact, data: DataParams, pseudo: PseudoSaliencyParams
) -> None:
    """Stage: one semantic/<name>.png of 0 and 1 per training picture."""
    opened = open_set(pictures, data, "trainaug")
    parallel(functools.partial(_write_mask, opened, cams, pseudo, out), range(len(opened)), title="pseudo saliency")


def train_saliency(
    out: Path,
    *,
    pictures: Artifact,
    labels: Artifact,
    init: Artifact | None = None,
    weights: Artifact | None = None,
    data: DataParams,
    saliency: DeeplabParams,
    seed: int,
) -> None:
    """Stage: trains the saliency branch on the pseudo masks; writes model.safetensors and log.csv.

    init: a run with the same backbone to start from; weights: the file that saliency.weights names.
    """
    seen = TagView(open_set(pictures, data, "trainaug"))
    label_map = functools.partial(_label_of, labels, seen.names)
    fit_saliency(out, seen.names, seen.image, label_map, saliency, init=init, weights=weights, seed=seed)


def _label_of(labels: Artifact, names: tuple[str, ...], index: int) -> np.ndarray:
    return load_labels(labels / "semantic", names[index])


def share_of_cells(region: np.ndarray, stride: int = 4) -> np.ndarray:
    """What share of every grid cell a region bool (H, W) covers: float32 (h, w) in [0, 1].

    A mean over the cell's pixels keeps the region where it is; one pixel of a cell, such as its corner, would shift it.
    Cells at the lower and right edge may have fewer pixels.
    """
    pixels = torch.from_numpy(region.astype(np.float32))[None]  # (1, H, W)
    return F.avg_pool2d(pixels, stride, ceil_mode=True)[0].numpy()


def true_saliency(out: Path, *, pictures: Artifact, data: DataParams, source: Source, split: str) -> None:
    """Stage: the true salient region in the form of nets.saliency.make_saliency, for the failure case of figure 8."""
    opened = open_salient(pictures, data, source, split)
    for index, name in enumerate(opened.names):
        share = share_of_cells(opened.masks(index).any(0))
        save_maps(out / "saliency", name, saliency=share.astype(np.float16))


def saliency_recall(saliency: Artifact, pictures: Artifact, data: DataParams, source: Source, split: str) -> dict:
    """name -> share of the truly salient cells that are found, for every picture that has one; the smallest is the
    failure case of figure 8. A cell is salient, and is found, from one half on."""
    return dict(_recalls(saliency, pictures, data, source, split))


def _recalls(
    saliency: Artifact, pictures: Artifact, data: DataParams, source: Source, split: str
) -> Iterator[tuple[str, float]]:
    opened = open_salient(pictures, data, source, split)
    for index, name in enumerate(opened.names):
        region = share_of_cells(opened.masks(index).any(0)) >= 0.5
        if region.any():
            yield name, float((read_saliency(saliency, name) >= 0.5)[region].mean())
