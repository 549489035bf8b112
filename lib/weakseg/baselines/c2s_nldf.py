"""C2SNet and NLDF (Li et al., CVPR 2018 and Luo et al., CVPR 2017) as WSID-Net's table 1 adapts them.

Both give a saliency map with contours; the contours make segment proposals, and MAP selection keeps a few. What differs
is the supervision, and that is kept: NLDF learns from object masks (the instances of a picture as one mask), C2SNet
from pictures without labels, on masks that contours alone suggest. Simplified: one network for both, this study's
saliency net; region grouping in place of MCG; for C2SNet one round of training on the masks that contours suggest,
where the original takes a pretrained contour network (CEDN) and several rounds.
"""

from functools import partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from weakseg.baselines.map_select import SelectParams, mask_overlaps, select
from weakseg.data.salient_instances import PictureView, SalientPictures, Source, open_salient
from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import TagView
from weakseg.nets.backbones import weights_input
from weakseg.nets.deeplab import DeeplabParams
from weakseg.nets.final import untested
from weakseg.nets.saliency import fit_saliency, make_saliency, read_saliency
from weakseg.ops.proposals import ProposalParams, region_masks
from weakseg.study.artifacts import load_labels, save_instances, save_labels
from weakseg.study.machine import parallel
from weakseg.study.params import Group
from weakseg.study.stages import Artifact, Store

Form = Literal["c2s", "nldf"]


class ContourParams(Group):
    """The saliency net, the proposals, the selection.

    Scores here reach 1 in every picture and many proposals are parts of one object, so the background
    weighs more than in MAP: with its 0.075 in place of 0.3 each part is a window of its own.
    """

    net: DeeplabParams = DeeplabParams()
    proposals: ProposalParams = ProposalParams()
    select: SelectParams = SelectParams(background=0.3)


def contours_of(values: np.ndarray) -> np.ndarray:
    """Gradient magnitude float32 (H, W) of a map or picture (H, W) or (H, W, K), the largest of its channels, divided
    by its maximum; all 0 for a constant one."""
    values = values.astype(np.float32)
    slopes = [cv2.Scharr(values, cv2.CV_32F, *axis).reshape(*values.shape[:2], -1) for axis in ((1, 0), (0, 1))]
    strength = np.hypot(*slopes).max(2)
    return strength / max(float(strength.max()), 1e-6)


def along_border(masks: np.ndarray, contours: np.ndarray) -> np.ndarray:
    """Mean contour strength (n,) on the border, two pixels wide, of masks bool (n, H, W)."""
    window = np.ones((3, 3), np.uint8)
    borders = np.array([cv2.morphologyEx(m.astype(np.uint8), cv2.MORPH_GRADIENT, window) for m in masks], bool)
    borders = borders.reshape(len(masks), contours.size)
    return borders @ contours.ravel() / np.maximum(borders.sum(1), 1)


def on_frame(masks: np.ndarray) -> np.ndarray:
    """Share (n,) of the picture's outermost pixels that each mask covers."""
    frame = np.ones(masks.shape[1:], bool)
    frame[1:-1, 1:-1] = False
    return masks[:, frame].mean(1)


def suggested_mask(image: np.ndarray, proposals: ProposalParams) -> np.ndarray:
    """The region bool (H, W) that contours alone suggest: strong along its border, hardly on the picture's frame."""
    masks = region_masks(image, proposals)
    if not len(masks):
        return np.zeros(image.shape[:2], bool)
    score = along_border(masks, contours_of(cv2.cvtColor(image, cv2.COLOR_RGB2LAB))) * (1 - on_frame(masks))
    return masks[score.argmax()]


def suggest_masks(out: Path, *, pictures: Artifact, data: DataParams, proposals: ProposalParams) -> None:
    """Stage: semantic/<name>.png of 0 and 1 from pictures without labels."""
    view = TagView(open_set(pictures, data, "trainaug"))
    items = [(name, view.image(index)) for index, name in enumerate(view.names)]
    parallel(partial(_write_suggested, out / "semantic", proposals), items, title="masks by contours")


def _write_suggested(folder: Path, proposals: ProposalParams, item: tuple[str, np.ndarray]) -> None:
    save_labels(folder, item[0], suggested_mask(item[1], proposals).astype(np.uint8))


def train_contours(
    out: Path,
    *,
    pictures: Artifact,
    suggested: Artifact | None,
    init: Artifact | None = None,
    weights: Artifact | None = None,
    data: DataParams,
    source: Source,
    net: DeeplabParams,
    seed: int,
) -> None:
    """Stage: trains on `suggested` masks of the training pictures (C2SNet), or, None, on true salient masks (NLDF)."""
    if suggested is None:
        shown = open_salient(pictures, data, source, "masked")
        label_map = partial(_union, shown)
    else:
        shown = TagView(open_set(pictures, data, "trainaug"))
        label_map = partial(_suggestion, suggested, shown.names)
    how = {"init": init, "weights": weights, "seed": seed, "title": "contours"}
    fit_saliency(out, shown.names, shown.image, label_map, net, **how)


def _union(shown: SalientPictures, index: int) -> np.ndarray:
    return shown.masks(index).any(0).astype(np.uint8)


def _suggestion(suggested: Artifact, names: tuple[str, ...], index: int) -> np.ndarray:
    return load_labels(suggested / "semantic", names[index])


def select_proposals(image: np.ndarray, saliency: np.ndarray, contours: ContourParams) -> tuple[np.ndarray, np.ndarray]:
    """Masks bool (m, H, W) and scores (m,) of a picture uint8 (H, W, 3) with saliency (h, w).

    A proposal scores its mean saliency times the mean strength of saliency's and picture's contours along its border,
    over the largest such product.
    """
    H, W, _ = image.shape
    masks = region_masks(image, contours.proposals)
    full = cv2.resize(saliency, (W, H), interpolation=cv2.INTER_LINEAR)
    strength = (contours_of(full) + contours_of(cv2.cvtColor(image, cv2.COLOR_RGB2LAB))) / 2
    flat = masks.reshape(len(masks), H * W)
    score = along_border(masks, strength) * (flat @ full.ravel()) / np.maximum(flat.sum(1), 1)
    score = score / max(score.max(initial=0), 1e-6)
    kept = select(*mask_overlaps(masks), score, contours.select)
    return masks[kept], score[kept]


def predict_contours(
    out: Path,
    *,
    saliency: Artifact,
    pictures: Artifact,
    data: DataParams,
    source: Source,
    split: str,
    contours: ContourParams,
) -> None:
    """Stage: instances/<name>.npz of every picture of the split."""
    view = PictureView(open_salient(pictures, data, source, split))
    items = [(name, view.image(i), read_saliency(saliency, name)) for i, name in enumerate(view.names)]
    parallel(partial(_write_selected, out / "instances", contours), items, title="proposals by contours")


def _write_selected(folder: Path, contours: ContourParams, item: tuple[str, np.ndarray, np.ndarray]) -> None:
    masks, scores = select_proposals(item[1], item[2], contours)
    save_instances(folder, item[0], masks, np.zeros(len(masks), np.int64), scores)


def instances(
    store: Store,
    form: Form,
    *,
    pictures: Artifact,
    init: Artifact | None,
    data: DataParams,
    source: Source,
    contours: ContourParams,
    split: str,
    seed: int,
) -> Artifact:
    """Training, saliency, selection: an artifact with instances/ of the split. form: which supervision."""
    tagged, net = {"pictures": pictures, "data": data}, contours.net
    shown = {**tagged, "source": source}
    suggested = store(suggest_masks, proposals=contours.proposals, **tagged) if form == "c2s" else None
    learn = {"init": init, "weights": weights_input(net.weights, net.backbone), "net": untested(net), "seed": seed}
    model = store(train_contours, suggested=suggested, **learn, **shown)
    saliency = store(make_saliency, model=model, saliency=net, split=split, **shown)
    return store(predict_contours, saliency=saliency, contours=contours, split=split, **shown)
