"""Label maps by AffinityNet: attention and a background row walk together; the background's exponent is chosen."""

import functools
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from weakseg.baselines.affinitynet import AffinityNetParams, build_affinitynet, embedding_affinity, with_background
from weakseg.data.coco import PictureSet
from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import TagView
from weakseg.metrics import semantic
from weakseg.nets import augment
from weakseg.nets.classifier import read_cams
from weakseg.nets.final import trained
from weakseg.ops import random_walk
from weakseg.ops.cam import grid_size
from weakseg.study.artifacts import load_maps, save_labels, save_maps
from weakseg.study.machine import autocast, device, parallel
from weakseg.study.stages import Artifact


@torch.inference_mode()
def make_affinities(
    out: Path, *, model: Artifact, pictures: Artifact, data: DataParams, split: str, affinitynet: AffinityNetParams
) -> None:
    """Stage: one pairs/<name>.npz per picture: affinities float16 (P, h, w) of every cell with its neighbours."""
    seen = TagView(open_set(pictures, data, split))
    net = trained(build_affinitynet(affinitynet), model)
    images = (seen.image(index) for index in range(len(seen)))
    for positions, batch in augment.same_size_batches(images, affinitynet.infer_batch_size):
        with autocast(affinitynet.precision):
            embedded = net(batch.to(device())).float()
        pairs = all_pairs(embedded, affinitynet.radius).half().cpu().numpy()
        for row, position in enumerate(positions):
            save_maps(out / "pairs", seen.names[position], pairs=pairs[row])


def all_pairs(embedding: torch.Tensor, radius: int) -> torch.Tensor:
    """Affinities (B, P, H, W) of every cell of (B, E, H, W); those towards outside the grid mean nothing."""
    r = radius - 1
    return embedding_affinity(F.pad(embedding, (r, r, 0, r)), radius)


def walked_scores(
    cams: np.ndarray, pairs: np.ndarray, alphas: tuple[float, ...], params: AffinityNetParams
) -> np.ndarray:
    """Scores (A + n, h, w): the background row of each alpha, then the classes' attention (n, h, w), after the walk."""
    rows = np.concatenate([*(with_background(cams, alpha)[:1] for alpha in alphas), cams])
    affinities = torch.from_numpy(pairs)[None].double().clamp(0, 1)
    matrix = random_walk.transition(affinities, params.radius, params.beta)
    return random_walk.walk(matrix, torch.from_numpy(rows).double(), params.steps).numpy()


def label_maps(cams: Artifact, pairs: Artifact, name: str, alphas: tuple[float, ...], params: AffinityNetParams):
    """One label map uint8 (H, W) for each alpha."""
    attention = read_cams(cams, name, params.stride)
    size = attention.high.shape[1:]
    if attention.low.shape[1:] != grid_size(size, params.stride):
        raise ValueError(f"{name}: attention on a grid of {attention.low.shape[1:]} does not fit a picture of {size}")
    scores = walked_scores(attention.low, load_maps(pairs / "pairs", name)["pairs"], alphas, params)
    full = F.interpolate(torch.from_numpy(scores)[None], scale_factor=params.stride, mode="bilinear")[0].numpy()
    background, classes = np.split(full[:, : size[0], : size[1]], [len(alphas)])
    names = np.concatenate([[0], attention.classes + 1]).astype(np.uint8)
    return [names[np.concatenate([row[None], classes]).argmax(0)] for row in background]


def choose_alpha(
    out: Path,
    *,
    pictures: Artifact,
    cams: Artifact,
    pairs: Artifact,
    data: DataParams,
    split: str,
    affinitynet: AffinityNetParams,
) -> None:
    """Stage: the mIoU of every alpha on the set-aside pictures; chosen.json holds alphas, miou and the best."""
    opened = open_set(pictures, data, split)
    job = functools.partial(_judge, opened, cams, pairs, affinitynet)
    confusion = sum(parallel(job, range(len(opened)), title="alpha of AffinityNet"))  # (A, K, K)
    miou = [semantic.mean_iou(semantic.SemanticEvidence(one[None], np.array(["all"]))) for one in confusion]
    best = affinitynet.alphas[int(np.argmax(miou))]
    (out / "chosen.json").write_text(json.dumps({"alphas": affinitynet.alphas, "miou": miou, "semantic": best}))


def _judge(opened: PictureSet, cams: Artifact, pairs: Artifact, params: AffinityNetParams, index: int) -> np.ndarray:
    name, truth = opened.names[index], opened.semantic(index)
    maps = label_maps(cams, pairs, name, params.alphas, params)
    return semantic.collect(((name, found, truth) for found in maps), len(opened.classes) + 1).confusion


def make_affinity_labels(
    out: Path,
    *,
    pictures: Artifact,
    cams: Artifact,
    pairs: Artifact,
    chosen: Artifact | None,
    data: DataParams,
    split: str,
    affinitynet: AffinityNetParams,
) -> None:
    """Stage: semantic/<name>.png of every picture of the split, at the chosen alpha (or the first of `alphas`)."""
    names = list(open_set(pictures, data, split).names)
    alpha = json.loads((chosen / "chosen.json").read_text())["semantic"] if chosen else affinitynet.alphas[0]
    job = functools.partial(_write, cams, pairs, affinitynet, alpha, out)
    parallel(job, names, title="labels by AffinityNet")


def _write(cams: Artifact, pairs: Artifact, params: AffinityNetParams, alpha: float, out: Path, name: str) -> None:
    save_labels(out / "semantic", name, label_maps(cams, pairs, name, (alpha,), params)[0])
