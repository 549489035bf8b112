"""The stages of BoxCaseg between boxes and proxy masks. Training is given boxes and salient pictures, no other mask."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from scipy.optimize import linear_sum_assignment

from weakseg.data.saliency import SalientSet, open_duts, open_ecssd
from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import BoxView, MaskView, SalientView
from weakseg.metrics import abo
from weakseg.metrics.overlap import box_iou
from weakseg.nets import hrnet
from weakseg.nets.backbones import norm_kept
from weakseg.nets.final import Optimisation, boxes_of, optimiser, trained
from weakseg.ops.proxy_masks import agreement, merged
from weakseg.papers.boxcaseg.boxes import usable_boxes
from weakseg.papers.boxcaseg.infer import HeadName, proxy_masks
from weakseg.papers.boxcaseg.losses import LossParams, loss_of
from weakseg.papers.boxcaseg.model import BoxCaseg
from weakseg.papers.boxcaseg.samples import FixedRatio, SampleParams, SamplingParams, Union, crops_of
from weakseg.study import train
from weakseg.study.artifacts import load_instances, load_maps, save_instances, save_maps
from weakseg.study.machine import device
from weakseg.study.params import Group
from weakseg.study.stages import Artifact

PAPER_TRAINING = Optimisation(epochs=40, batch_size=32, lr=0.004, schedule="poly")


class SegmenterParams(Group):
    """The joint network. n_salient: so many of the salient pictures, chosen at random; null takes all.

    salient_list: a list of picture names in the data root, such as the authors' DUTS-Single; null takes the whole set.
    """

    backbone: hrnet.Name = "hrnet_w48"
    weights: str | None = "hrnet_w48.safetensors"
    salient: Literal["duts", "ecssd"] = "duts"
    salient_list: str | None = None
    n_salient: int | None = Field(None, ge=1)
    samples: SampleParams = SampleParams()
    sampling: SamplingParams = SamplingParams()
    loss: LossParams = LossParams()
    training: Optimisation = PAPER_TRAINING
    infer_batch_size: int = Field(32, ge=1)


def salient_pictures(root: Path, how: SegmenterParams, seed: int) -> SalientView:
    """The salient pictures of a run. ValueError when more are asked for than there are."""
    names_file = None if how.salient_list is None else root / how.salient_list
    whole = open_ecssd(root) if how.salient == "ecssd" else open_duts(root, "TR", names_file)
    if how.n_salient is None:
        return SalientView(whole)
    if how.n_salient > len(whole):
        raise ValueError(f"segmenter.n_salient: {how.n_salient} wanted, but {whole.images} has {len(whole)}")
    chosen = np.random.default_rng((seed, 1)).permutation(len(whole))[: how.n_salient]
    return SalientView(SalientSet(whole.images, whole.masks, [whole.names[k] for k in sorted(chosen)]))


def train_segmenter(
    out: Path,
    *,
    pictures: Artifact,
    weights: Artifact | None,
    data: DataParams,
    split: str = "trainaug",
    segmenter: SegmenterParams,
    seed: int,
) -> None:
    """Stage: trains the joint network on the boxes of a split and on salient pictures; the root holds both.

    Without bags there is nothing to learn from boxes, and no box is opened. weights: the file of segmenter.weights.
    Writes model.safetensors and log.csv.
    """
    torch.manual_seed(seed)
    view, how = BoxView(open_set(pictures, data, split)), segmenter.training
    crops = crops_of(usable_boxes(view, split)) if segmenter.loss.bags else []
    parts = view, crops, salient_pictures(pictures.path, segmenter, seed), segmenter.samples
    model = BoxCaseg(hrnet.build_hrnet(segmenter.backbone, weights.path if weights else None)).to(device())
    fit, samples = how.for_fit(), Union(*parts)
    if crops and segmenter.sampling.ratio is not None:
        samples = FixedRatio(*parts, sampling=segmenter.sampling, batch_size=how.batch_size)
        fit |= {"batch_size": samples.salient_each}
    by = optimiser(model, model.backbone, how)
    fit |= {"out": out, "seed": seed, "collate": samples.collate, "title": "BoxCaseg"}
    train.fit(model, samples, loss_of(segmenter.loss), by, **fit)
    train.save_model(model, out / "model.safetensors")


def load_segmenter(model: Artifact, segmenter: SegmenterParams) -> BoxCaseg:
    """The trained network of a run, in inference mode, on the machine's device."""
    norm = norm_kept(segmenter.backbone, segmenter.weights, None)
    return trained(BoxCaseg(hrnet.build_hrnet(segmenter.backbone, norm=norm)), model)


def make_proxies(
    out: Path,
    *,
    model: Artifact,
    pictures: Artifact,
    data: DataParams,
    split: str,
    segmenter: SegmenterParams,
    head: HeadName = "fused",
    alpha: float | None = None,
) -> None:
    """Stage: a mask for every usable box: instances/<name>.npz (score 1) and boxes/<name>.npz (corners, whole pixels).

    head: what reads the crop. alpha: weight of the salient head there; None takes that of the training.
    """
    view = BoxView(open_set(pictures, data, split))
    boxes = usable_boxes(view, split)
    net = load_segmenter(model, segmenter)
    read = head, segmenter.loss.alpha if alpha is None else alpha, segmenter.loss.mix
    found = proxy_masks(net, view.image, boxes, segmenter.samples, segmenter.infer_batch_size, read)
    for name, of_picture, masks in zip(view.names, boxes, found, strict=True):
        save_instances(out / "instances", name, masks, of_picture.labels, np.ones(len(masks)))
        save_maps(out / "boxes", name, corners=of_picture.corners)


def finish_proxies(
    out: Path, *, proxies: Artifact, pictures: Artifact, data: DataParams, split: str, merge: bool
) -> None:
    """Stage: the same masks, merged or not, with their agreement with their boxes as score; boxes/ as they were."""
    for name in open_set(pictures, data, split).names:
        (masks, labels, _), corners = load_instances(proxies / "instances", name), read_boxes(proxies, name)
        masks = merged(masks, corners) if merge else masks
        save_instances(out / "instances", name, masks, labels, agreement(masks, corners))
        save_maps(out / "boxes", name, corners=corners)


def read_boxes(proxies: Artifact, name: str) -> np.ndarray:
    """Corners int (n, 4) of the boxes behind the proxy masks of a picture."""
    return load_maps(proxies / "boxes", name)["corners"]


def judge_proxies(out: Path, *, proxies: Artifact, pictures: Artifact, data: DataParams, split: str) -> None:
    """Stage: evidence.npz, the IoU of every true instance with the proxy mask of its own box."""
    view = MaskView(open_set(pictures, data, split))

    def pairs():
        for index, name in enumerate(view.names):
            truth, labels = view.instances(index)
            masks, classes, _ = load_instances(proxies / "instances", name)
            yield name, masks_of_truth(truth, labels, masks, classes, read_boxes(proxies, name)), truth, labels

    abo.collect_paired(pairs(), len(view.classes)).save(out / "evidence.npz")


def masks_of_truth(
    truth: np.ndarray, labels: np.ndarray, masks: np.ndarray, classes: np.ndarray, corners: np.ndarray
) -> np.ndarray:
    """For each true instance (m, H, W) of class labels (m,) the proxy mask of its box: bool (m, H, W), or nothing.

    Annotations list boxes in an order of their own, so boxes and instances of a class are paired one to one such that
    the IoU of the boxes (n, 4) with the instances' tight boxes is largest in sum; a pair without overlap is none.
    """
    fit = box_iou(boxes_of(truth), corners) * (labels[:, None] == classes[None])  # (m, n)
    rows, columns = linear_sum_assignment(-fit)
    paired = fit[rows, columns] > 0
    found = np.zeros_like(truth)
    found[rows[paired]] = masks[columns[paired]]
    return found


def drop_rate(finished: Artifact, names: list[str], threshold: float) -> float:
    """Share in [0, 1] of the proxy masks of these pictures whose agreement is `threshold` or less."""
    scores = np.concatenate([load_maps(finished / "instances", name)["scores"] for name in names])
    return float((scores <= threshold).mean()) if len(scores) else 0.0
