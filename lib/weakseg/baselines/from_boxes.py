"""What the baselines that train a detector on boxes alone share."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import BoxView, known_boxes
from weakseg.nets.backbones import weights_input
from weakseg.nets.box_mask_rcnn import box_maps
from weakseg.nets.final import untested
from weakseg.nets.mask_rcnn import MaskRcnnParams, predict_mask_rcnn
from weakseg.ops.grabcut import pixel_box
from weakseg.study.params import Group
from weakseg.study.stages import Artifact, Store


def box_reader(pictures: Artifact, data: DataParams, split: str) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    """index -> box maps uint8 (n, H, W) and labels (n,) from 0 of a picture's annotated boxes.

    A picture without annotation has no boxes to learn from, as one whose annotation lists none. ValueError names the
    picture of a box outside it.
    """
    view = BoxView(open_set(pictures, data, split))

    def read(index: int) -> tuple[np.ndarray, np.ndarray]:
        size = view.image(index).shape[:2]
        boxes = known_boxes(view, index) or []
        try:
            corners = [pixel_box((box.x0, box.y0, box.x1, box.y1), *size) for box in boxes]
        except ValueError as error:
            raise ValueError(f"{view.names[index]}: {error}") from None
        return box_maps(np.array(corners, np.int64).reshape(-1, 4), size), np.array([b.label for b in boxes], np.int64)

    return read


def chosen_logits(logits: Tensor, matched: Sequence[Tensor], targets: Sequence[dict[str, Tensor]]) -> Tensor:
    """The logits (R, h, w) of each RoI for the class of its object, from those of all classes (R, C, h, w), float32."""
    R, C, h, w = logits.shape
    labels = torch.cat([t["labels"][m] for t, m in zip(targets, matched, strict=True)])
    return logits[torch.arange(R, device=logits.device), labels].float()  # (R, h, w)


def train_and_detect(
    store: Store,
    stage: Callable,
    net: MaskRcnnParams,
    *,
    pictures: Artifact,
    init: Artifact | None,
    data: DataParams,
    split: str,
    seed: int,
    detect: Callable = predict_mask_rcnn,
    detect_params: Mapping[str, Group] | None = None,
    **params: Group,
) -> Artifact:
    """Trains by `stage` on trainaug and predicts by `detect`: an artifact with instances/ of the split.

    params, detect_params: what these stages take besides the detector `net`, by name.
    """
    common = {"pictures": pictures, "data": data}
    weights = weights_input(net.weights, net.backbone)
    model = store(stage, **common, init=init, weights=weights, seed=seed, mask_rcnn=untested(net), **params)
    return store(detect, **common, model=model, split=split, mask_rcnn=net, **(detect_params or {}))
