"""Mask R-CNN, the final instance model of the pseudo-label papers (methods 2.12), from torchvision's building blocks.

One interface for full and weak supervision: `labels=None` trains on the true masks, an artifact of pseudo instances
trains on those, and nothing else differs.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import MaskView, TagView
from weakseg.nets import augment, backbones
from weakseg.nets.final import (
    InstanceSet,
    Optimisation,
    collate_instances,
    fit_final,
    train_and_predict,
    trained,
    with_file,
)
from weakseg.nets.roi_pool import MultiScaleRoIAlign
from weakseg.study.artifacts import load_instances, save_instances
from weakseg.study.machine import device, own_kernels
from weakseg.study.params import Group
from weakseg.study.stages import Artifact, Store


class DetectionParams(Group):
    """What is kept of the predictions. Nothing here changes the training."""

    nms: float = Field(0.5, gt=0, le=1)  # box IoU above which a detection of the same class is suppressed
    score: float = Field(0.05, ge=0, lt=1)  # detections with a lower score are not kept
    detections: PositiveInt = 20  # per picture
    mask_threshold: float = Field(0.5, gt=0, lt=1)


class MaskRcnnParams(Group):
    """Sizes are pixels of the resized picture. The defaults are the slim form for 128 px pictures."""

    backbone: backbones.Name = "small"
    weights: str | None = None  # as in nets.backbones.build: a file, "torchvision", or None
    frozen_norm: backbones.FrozenNorm | None = None
    cut_after: int = Field(0, ge=0, le=5)  # so many of the backbone's stages stay as they are; usual with ImageNet: 2
    short_side: PositiveInt | None = None  # None: pictures as they are
    long_side: PositiveInt = 800  # at most; used only with short_side
    strides: tuple[PositiveInt, ...] = (4, 8, 16)  # pyramid levels, finest first
    pyramid_pool: bool = False  # one more level, the coarsest subsampled, for proposals only
    pyramid_channels: PositiveInt = 64
    anchors: tuple[PositiveInt, ...] = (38, 50, 70)  # side of the anchors, one per level
    anchor_ratios: tuple[PositiveFloat, ...] = (0.75, 1.0, 1.3)  # height : width
    roi_scale: PositiveInt = 112  # RoIs of this side (geometric mean) are read at stride 16
    box_features: PositiveInt = 256
    mask_channels: tuple[PositiveInt, ...] = (64, 64)
    proposals_before_nms: PositiveInt = 200  # per level
    proposals: PositiveInt = 100  # per picture, after suppression
    proposal_samples: PositiveInt = 64  # anchors per picture in the proposal losses
    roi_samples: PositiveInt = 32  # RoIs per picture in the box losses, a quarter of them with masks
    min_score: float = Field(0.0, ge=0)  # pseudo instances with a lower score are dropped
    min_side: float = Field(4.0, ge=0)  # instances with a shorter box side are dropped
    flip: bool = True
    training: Optimisation = Optimisation(epochs=3, lr=0.02, warmup=0.1, schedule="cosine", clip=5.0, precision="bf16")
    test: DetectionParams = DetectionParams()

    @model_validator(mode="after")
    def one_anchor_a_level(self) -> "MaskRcnnParams":
        if len(self.anchors) != len(self.strides) + self.pyramid_pool:
            raise ValueError(f"anchors needs one side per pyramid level: {len(self.strides) + self.pyramid_pool}")
        return self


class Pyramid(nn.Module):
    """Feature pyramid (Lin et al. 2017) over the deepest stage of each wanted stride."""

    def __init__(self, backbone: backbones.Backbone, strides: tuple[int, ...], channels: int, pool: bool):
        super().__init__()
        missing = set(strides) - set(backbone.strides)
        if missing:
            raise ValueError(f"mask_rcnn.strides: the backbone has strides {backbone.strides}, not {sorted(missing)}")
        self.backbone, self.out_channels = backbone, channels
        self.taps = [max(k for k, stride in enumerate(backbone.strides) if stride == wanted) for wanted in strides]
        widths = [backbone.channels[tap] for tap in self.taps]
        self.fpn = FeaturePyramidNetwork(widths, channels, LastLevelMaxPool() if pool else None)

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """pictures (B, 3, H, W) -> levels "0", "1", ... (B, channels, H/stride, W/stride), and "pool" where asked."""
        maps = self.backbone(pictures)
        return self.fpn({str(level): maps[tap] for level, tap in enumerate(self.taps)})


class Sizes(GeneralizedRCNNTransform):
    """Torchvision's resizing and batching, without normalisation (the backbone does it) and without idle resizing."""

    def __init__(self, short_side: int | None, long_side: int):
        super().__init__(short_side or 0, long_side, [], [])
        self.wanted = short_side is not None

    def normalize(self, image: Tensor) -> Tensor:
        return image

    def resize(self, image: Tensor, target: dict | None = None) -> tuple[Tensor, dict | None]:
        return super().resize(image, target) if self.wanted else (image, target)


def build_mask_rcnn(params: MaskRcnnParams, classes: int, pretrained: bool = True) -> MaskRCNN:
    """Torchvision's Mask R-CNN with the pyramid, anchors and heads of `params`; label 0 is the background.

    The mask loss is torchvision's, inside `model.roi_heads`.
    """
    norm = backbones.norm_kept(params.backbone, params.weights, params.frozen_norm)
    backbone = backbones.build(
        params.backbone,
        weights=params.weights if pretrained else None,
        output_stride=max(8, *params.strides),
        frozen_norm=norm,
        cut_after=params.cut_after,
    )
    pyramid = Pyramid(backbone, params.strides, params.pyramid_channels, params.pyramid_pool)
    model = MaskRCNN(
        pyramid,
        rpn_anchor_generator=AnchorGenerator(
            tuple((side,) for side in params.anchors), (params.anchor_ratios,) * len(params.anchors)
        ),
        rpn_pre_nms_top_n_train=params.proposals_before_nms,
        rpn_pre_nms_top_n_test=params.proposals_before_nms,
        rpn_post_nms_top_n_train=params.proposals,
        rpn_post_nms_top_n_test=params.proposals,
        rpn_batch_size_per_image=params.proposal_samples,
        box_batch_size_per_image=params.roi_samples,
        box_nms_thresh=params.test.nms,
        box_score_thresh=params.test.score,
        box_detections_per_img=params.test.detections,
        box_roi_pool=MultiScaleRoIAlign(params.strides, 7, 2, params.roi_scale),
        mask_roi_pool=MultiScaleRoIAlign(params.strides, 14, 2, params.roi_scale),
        **_heads(params, classes),
    )
    model.transform = Sizes(params.short_side, params.long_side)
    return model


def _heads(params: MaskRcnnParams, classes: int) -> dict[str, nn.Module]:
    width, masks = params.pyramid_channels, params.mask_channels
    return {
        "box_head": TwoMLPHead(width * 7 * 7, params.box_features),
        "box_predictor": FastRCNNPredictor(params.box_features, classes + 1),
        "mask_head": MaskRCNNHeads(width, masks, 1),
        "mask_predictor": MaskRCNNPredictor(masks[-1], masks[-1], classes + 1),
    }


def detection_losses(model: MaskRCNN, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The five losses of Mask R-CNN on a batch of `collate_instances`, and "loss", their sum."""
    sizes, counts = batch["size"].tolist(), batch["count"].tolist()
    pictures = [picture[:, :h, :w] for picture, (h, w) in zip(batch["picture"], sizes, strict=True)]
    parts = zip(sizes, *(batch[key].split(counts) for key in ("boxes", "labels", "masks")), strict=True)
    targets = [{"boxes": boxes, "labels": labels, "masks": masks[:, :h, :w]} for (h, w), boxes, labels, masks in parts]
    with own_kernels():  # else torchvision compiles the cutting of mask targets, anew for every number of objects
        losses = model(pictures, targets)
    return {"loss": sum(losses.values()), **losses}


def pseudo_instances(
    labels: Artifact, names: list[str], min_score: float
) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    """index -> those of the artifact's instances of this picture that score at least `min_score`."""

    def read(index: int) -> tuple[np.ndarray, np.ndarray]:
        masks, classes, scores = load_instances(labels / "instances", names[index])
        kept = scores >= min_score
        return masks[kept], classes[kept]

    return read


def train_mask_rcnn(
    out: Path,
    *,
    pictures: Artifact,
    labels: Artifact | None,
    init: Artifact | None = None,
    weights: Artifact | None = None,
    data: DataParams,
    mask_rcnn: MaskRcnnParams,
    split: str = "trainaug",
    seed: int,
) -> None:
    """Stage: trains on pseudo instances `labels`/instances/<name>.npz, or on the true masks where `labels` is None.

    init: a run whose model.safetensors holds the same backbone, to start from.
    weights: the file that mask_rcnn.weights names (see nets.backbones.weights_input).
    Writes model.safetensors and log.csv.
    """
    torch.manual_seed(seed)
    whole = open_set(pictures, data, split)
    view = MaskView(whole) if labels is None else TagView(whole)
    instances = view.instances if labels is None else pseudo_instances(labels, view.names, mask_rcnn.min_score)
    model = build_mask_rcnn(with_file(mask_rcnn, weights), len(view.classes))
    samples = InstanceSet(view.names, view.image, instances, mask_rcnn.min_side, mask_rcnn.flip)
    what = model, model.backbone.backbone, samples, detection_losses, mask_rcnn.training
    fit_final(out, *what, init=init, seed=seed, title="Mask R-CNN", collate=collate_instances)


def predict_mask_rcnn(
    out: Path, *, model: Artifact, pictures: Artifact, data: DataParams, split: str, mask_rcnn: MaskRcnnParams
) -> None:
    """Stage: writes instances/<name>.npz for every picture of the split, masks at picture size."""
    view = TagView(open_set(pictures, data, split))
    net = trained(build_mask_rcnn(mask_rcnn, len(view.classes), pretrained=False), model)
    images = (view.image(index) for index in range(len(view.names)))
    for positions, batch in augment.same_size_batches(images, mask_rcnn.training.batch_size):
        for position, found in zip(positions, detect(net, batch, mask_rcnn.test.mask_threshold), strict=True):
            save_instances(out / "instances", view.names[position], *found)


@torch.inference_mode()
def detect(model: MaskRCNN, pictures: Tensor, mask_threshold: float) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """pictures (B, 3, H, W) in [0, 1] -> per picture masks bool (n, H, W), labels (n,) from 0, scores (n,)."""
    found = model(list(pictures.to(device())))
    return [
        ((f["masks"][:, 0] >= mask_threshold).cpu().numpy(), (f["labels"] - 1).cpu().numpy(), f["scores"].cpu().numpy())
        for f in found
    ]


def final_instances(
    store: Store,
    *,
    pictures: Artifact,
    labels: Artifact | None,
    init: Artifact | None = None,
    data: DataParams,
    mask_rcnn: MaskRcnnParams,
    split: str,
    train_split: str = "trainaug",
    seed: int,
) -> Artifact:
    """Trains on `train_split` and predicts `split`. The key of the training leaves `mask_rcnn.test` out."""
    shared = {"pictures": pictures, "labels": labels, "init": init, "data": data, "seed": seed}
    stages = train_mask_rcnn, predict_mask_rcnn
    return train_and_predict(store, stages, "mask_rcnn", mask_rcnn, **shared, split=split, train_split=train_split)
