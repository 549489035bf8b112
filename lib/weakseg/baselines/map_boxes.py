"""MAP (Zhang et al., CVPR 2016): boxes of salient objects, cut out by the CRF as WSID-Net's table 1 does.

Kept: a network that scores a fixed set of boxes, the cluster centres of all training boxes; MAP subset selection; the
CRF on picture and box. Simplified: one look at the whole picture, where the released code looks again at up to five
regions of interest; the backbone of this study in place of VGG16; boxes of the training masks as its labels.
"""

from functools import partial
from pathlib import Path

import numpy as np
import scipy.cluster.vq
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from weakseg.baselines.map_select import SelectParams, select
from weakseg.data.salient_instances import PictureView, SalientPictures, Source, open_salient
from weakseg.data.sets import DataParams
from weakseg.metrics.overlap import box_iou
from weakseg.nets import augment, backbones
from weakseg.nets.final import Optimisation, boxes_of, fit_final, trained
from weakseg.ops.crf import CrfParams, refine
from weakseg.study.artifacts import load_maps, save_instances, save_maps
from weakseg.study.machine import device, parallel
from weakseg.study.params import Group
from weakseg.study.stages import Artifact, Store


class MapParams(Group):
    """centres: boxes that are scored. side: pictures are seen as squares of this side. top: proposals of a picture.

    inside, outside: object probability that the CRF starts from in a box and around it.
    """

    backbone: backbones.Name = "resnet50"
    weights: str | None = "torchvision"
    centres: int = Field(100, ge=1)
    side: int = Field(224, ge=32)
    top: int = Field(30, ge=1)
    training: Optimisation = Optimisation(batch_size=16, epochs=20, lr=0.01)
    select: SelectParams = SelectParams()
    crf: CrfParams = CrfParams()
    inside: float = Field(0.8, gt=0, lt=1)
    outside: float = Field(0.05, gt=0, lt=1)


class BoxScorer(nn.Module):
    """Backbone, global average pooling, one score for each box."""

    def __init__(self, backbone: backbones.Backbone, boxes: int):
        super().__init__()
        self.backbone, self.head = backbone, nn.Linear(backbone.channels[-1], boxes)

    def forward(self, pictures: Tensor) -> Tensor:
        """pictures (B, 3, H, W) in [0, 1] -> logits (B, K)."""
        return self.head(self.backbone(pictures)[-1].mean((2, 3)))


def shares(masks: np.ndarray) -> np.ndarray:
    """Tight boxes (n, 4) of masks (n, H, W), x0, y0, x1, y1 as shares of the picture's sides."""
    H, W = masks.shape[1:]
    return boxes_of(masks) / np.array([W, H, W, H], np.float32)


def box_centres(boxes: np.ndarray, centres: int) -> np.ndarray:
    """Cluster centres (K, 4) of boxes (n, 4) by k-means; the boxes themselves, each once, where they are not more."""
    known = np.unique(boxes, axis=0)
    if len(known) <= centres:
        return known
    found, member = scipy.cluster.vq.kmeans2(boxes.astype(float), centres, minit="++", rng=np.random.default_rng(0))
    return found[np.unique(member)].astype(np.float32)  # a centre without a box is none


class BoxSamples:
    """Pictures as squares with the centres that fit their boxes best, mirrored in one of two cases."""

    def __init__(self, opened: SalientPictures, centres: np.ndarray, side: int):
        self.opened, self.centres, self.side = opened, centres, side
        self.boxes = [shares(opened.masks(index)) for index in range(len(opened))]

    def __len__(self) -> int:
        return len(self.opened)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        index, draw = key
        picture, boxes = augment.resize(self.opened.image(index), None, (self.side, self.side))[0], self.boxes[index]
        if np.random.default_rng(draw).random() < 0.5:
            picture, boxes = np.ascontiguousarray(picture[:, ::-1]), np.abs(boxes[:, [2, 1, 0, 3]] - [1, 0, 1, 0])
        wanted = np.zeros(len(self.centres), np.float32)
        wanted[box_iou(boxes, self.centres).argmax(1)] = 1
        return {
            "name": self.opened.names[index],
            "picture": augment.to_bytes(picture),
            "wanted": torch.from_numpy(wanted),
        }


def box_loss(model: nn.Module, batch: dict) -> dict[str, Tensor]:
    """Binary cross entropy of the boxes' scores."""
    return {"loss": F.binary_cross_entropy_with_logits(model(batch["picture"]).float(), batch["wanted"])}


def build_scorer(params: MapParams, boxes: int, weights: str | None = None) -> BoxScorer:
    """The network for so many boxes; `weights` (a file or "torchvision") for its backbone, random ones without."""
    norm = backbones.norm_kept(params.backbone, params.weights, None)
    return BoxScorer(backbones.build(params.backbone, weights=weights, output_stride=32, frozen_norm=norm), boxes)


def train_map(
    out: Path,
    *,
    pictures: Artifact,
    init: Artifact | None = None,
    weights: Artifact | None = None,
    data: DataParams,
    source: Source,
    map_boxes: MapParams,
    seed: int,
) -> None:
    """Stage: trains on the boxes of the split "masked"; writes boxes/centres.npz, model.safetensors, log.csv.

    init: a run with the same backbone to start from; weights: the file that map_boxes.weights names.
    Raises ValueError when no training picture has an instance.
    """
    torch.manual_seed(seed)
    opened = open_salient(pictures, data, source, "masked")
    every = np.concatenate([np.zeros((0, 4), np.float32), *(shares(opened.masks(i)) for i in range(len(opened)))])
    if not len(every):
        raise ValueError("MAP: no training picture has a salient instance; it learns from their boxes")
    centres = box_centres(every, map_boxes.centres)
    save_maps(out / "boxes", "centres", centres=centres)
    model = build_scorer(map_boxes, len(centres), str(weights.path) if weights else map_boxes.weights)
    samples = BoxSamples(opened, centres, map_boxes.side)
    fit_final(out, model, model.backbone, samples, box_loss, map_boxes.training, init=init, seed=seed, title="MAP")


@torch.inference_mode()
def predict_map(
    out: Path,
    *,
    model: Artifact,
    pictures: Artifact,
    data: DataParams,
    source: Source,
    split: str,
    map_boxes: MapParams,
) -> None:
    """Stage: instances/<name>.npz: the chosen boxes of every picture, cut out by the CRF."""
    view = PictureView(open_salient(pictures, data, source, split))
    centres = load_maps(model / "boxes", "centres")["centres"]
    net = trained(build_scorer(map_boxes, len(centres)), model)
    squares = (augment.resize(view.image(i), None, (map_boxes.side,) * 2)[0] for i in range(len(view)))
    items = []
    for positions, batch in augment.same_size_batches(squares, map_boxes.training.batch_size):
        for position, scores in zip(positions, net(batch.to(device())).float().sigmoid().cpu().numpy(), strict=True):
            items.append((view.names[position], view.image(position), scores))
    parallel(partial(_write_picture, out / "instances", centres, map_boxes), items, title="MAP masks")


def chosen_boxes(centres: np.ndarray, scores: np.ndarray, params: MapParams) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (m, 4) and scores (m,) that MAP selection keeps of the best `top` scored centres."""
    top = np.argsort(-scores, kind="stable")[: params.top]
    boxes, scores = centres[top], scores[top]
    iou, area = box_iou(boxes, boxes), (boxes[:, 2:] - boxes[:, :2]).prod(1)
    both = iou * (area[:, None] + area[None]) / (1 + iou)
    kept = select(iou, both / np.maximum(np.minimum(area[:, None], area[None]), 1e-9), scores, params.select)
    return boxes[kept], scores[kept]


def cut_out(image: np.ndarray, box: np.ndarray, params: MapParams) -> np.ndarray:
    """Object bool (H, W) in a box given as shares: the CRF on picture and box, kept to the box; the box if that is
    empty. image: uint8 (H, W, 3)."""
    H, W, _ = image.shape
    x0, y0, x1, y1 = (np.clip(box, 0, 1) * [W, H, W, H]).round().astype(int)
    filled = np.zeros((H, W), bool)
    filled[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = True
    probability = np.where(filled, params.inside, params.outside).astype(np.float32)
    found = (refine(image, np.stack([1 - probability, probability]), params.crf).argmax(0) == 1) & filled
    return found if found.any() else filled


def _write_picture(folder: Path, centres: np.ndarray, params: MapParams, item: tuple) -> None:
    name, image, scores = item
    boxes, scores = chosen_boxes(centres, scores, params)
    masks = np.array([cut_out(image, box, params) for box in boxes], bool).reshape(-1, *image.shape[:2])
    save_instances(folder, name, masks, np.zeros(len(masks), np.int64), scores)


def instances(
    store: Store,
    *,
    pictures: Artifact,
    init: Artifact | None,
    data: DataParams,
    source: Source,
    map_boxes: MapParams,
    split: str,
    seed: int,
) -> Artifact:
    """Training and prediction: an artifact with instances/ of the split."""
    shown, plain = {"pictures": pictures, "data": data, "source": source}, MapParams()
    after = {key: getattr(plain, key) for key in ("top", "select", "crf", "inside", "outside")}
    weights = backbones.weights_input(map_boxes.weights, map_boxes.backbone)
    learn = {"init": init, "weights": weights, "map_boxes": map_boxes.model_copy(update=after), "seed": seed}
    return store(predict_map, model=store(train_map, **learn, **shown), map_boxes=map_boxes, split=split, **shown)
