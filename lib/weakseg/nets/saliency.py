"""A net that says which cells are salient: a segmentation net of two classes, whatever masks it learns from."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from weakseg.data.salient_instances import PictureView, Source, open_salient
from weakseg.data.sets import DataParams
from weakseg.nets.deeplab import DeeplabParams, build_deeplab, label_loss, score_pictures
from weakseg.nets.final import LabelSet, fit_final, trained, with_file
from weakseg.study.artifacts import load_maps, save_maps
from weakseg.study.stages import Artifact


def fit_saliency(
    out: Path,
    names: Sequence[str],
    image: Callable[[int], np.ndarray],
    label_map: Callable[[int], np.ndarray],
    saliency: DeeplabParams,
    *,
    init: Artifact | None,
    weights: Artifact | None,
    seed: int,
    title: str = "saliency",
) -> None:
    """Trains on label_map(i) -> uint8 (H, W) of 0 and 1 (255 is ignored); writes model.safetensors and log.csv.

    init: a run with the same backbone to start from; weights: the file that saliency.weights names.
    """
    torch.manual_seed(seed)
    model = build_deeplab(with_file(saliency, weights), 2)
    samples = LabelSet(names, image, label_map, saliency.crop, saliency.scales, saliency.flip)
    fit_final(out, model, model.backbone, samples, label_loss, saliency.training, init=init, seed=seed, title=title)


def make_saliency(
    out: Path,
    *,
    model: Artifact,
    pictures: Artifact,
    data: DataParams,
    source: Source,
    split: str,
    saliency: DeeplabParams,
) -> None:
    """Stage: saliency/<name>.npz with the saliency (h, w) in [0, 1], float16, on the stride-4 grid of every picture."""
    view = PictureView(open_salient(pictures, data, source, split))
    net = trained(build_deeplab(saliency, 2, pretrained=False), model)
    images = [view.image(index) for index in range(len(view))]
    for position, scores in score_pictures(net, images, saliency):
        save_maps(out / "saliency", view.names[position], saliency=salient_share(scores).astype(np.float16))


def salient_share(scores: np.ndarray) -> np.ndarray:
    """Probability (h, w) of the second of two classes, from scores (2, h, w) before softmax."""
    return 1 / (1 + np.exp(np.clip(scores[0].astype(np.float32) - scores[1], -80, 80)))


def read_saliency(saliency: Artifact, name: str) -> np.ndarray:
    """Saliency float32 (h, w) of one picture, as `make_saliency` wrote it."""
    return load_maps(saliency / "saliency", name)["saliency"].astype(np.float32)
