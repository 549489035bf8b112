"""What happens inside on one picture: which proposal explains a tag, how refinement spreads it, how masks come up."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from weakseg.data.sets import open_set
from weakseg.nets.augment import to_tensor
from weakseg.nets.roi_detector import DetectorParams, RoiDetector, mean_scores
from weakseg.ops import multiple_instance as mi
from weakseg.papers.community_learning import recipe, stages
from weakseg.papers.community_learning.infer import ensemble
from weakseg.papers.community_learning.model import CommunityNet
from weakseg.plots.trace import describe
from weakseg.study.machine import device
from weakseg.study.session import Session


class Step(NamedTuple):
    """What one stage says: scores (n, C) of the proposals; seeds and labels (n,) that the next stage learns from."""

    scores: Tensor
    seeds: mi.Seeds
    label: Tensor


class Masks(NamedTuple):
    """Inside m boxes, (m, T, T) each: the stretched map of every CAM, their mean M, S of IS or None, the ensemble."""

    cams: list[Tensor]
    attention: Tensor
    segmentation: Tensor | None
    ensemble: Tensor


@torch.inference_mode()
def refinement(net: RoiDetector, picture: Tensor, boxes: Tensor, tags: Tensor, how: DetectorParams) -> list[Step]:
    """MIDN, then every branch, on one picture (3, H, W) with proposals (n, 4) and tags (C,)."""
    owner = torch.zeros(len(boxes), dtype=torch.long, device=boxes.device)
    read, _ = net(picture[None], boxes, owner)
    every = [read.midn, *(logits.softmax(1)[:, 1:] for logits in read.branches)]
    steps = []
    for scores in every:
        seeds = mi.top_seeds(scores, tags[None], owner)
        steps.append(Step(scores, seeds, mi.assign(boxes, owner, seeds, how.seed_overlap).label))
    return steps


@torch.inference_mode()
def masks_inside(net: CommunityNet, picture: Tensor, boxes: Tensor, label: Tensor) -> Masks:
    """How masks of boxes (m, 4) with labels (m,) from 1 come up, in the picture (3, H, W) as it is."""
    owner = torch.zeros(len(boxes), dtype=torch.long, device=boxes.device)
    read, maps = net.detector(picture[None], boxes, owner)
    levels = net.levels(read.features, maps, boxes, owner)
    cams = net.img(levels)[1]
    attention = net.img.attention(cams, label)
    segmentation = None if net.seg is None else net.seg(levels[0], label).sigmoid()
    each = [net.img.attention([one], label) for one in cams]
    return Masks(each, attention, segmentation, ensemble(attention, segmentation))


@torch.inference_mode()
def label_scores(net: RoiDetector, picture: Tensor, boxes: Tensor) -> Tensor:
    """Mean scores (n, C + 1) of the proposals of one picture (3, H, W), background first."""
    owner = torch.zeros(len(boxes), dtype=torch.long, device=boxes.device)
    return mean_scores(net(picture[None], boxes, owner)[0])


def network(s: Session, seed: int) -> CommunityNet:
    """The network that the params describe, trained, in inference mode."""
    classes = len(open_set(recipe.pictures(s), s.params.data, "trainaug").classes)
    return stages.load_community(recipe.community(s, seed), s.params.detector, s.params.img, s.params.seg, classes)


def placed(image: np.ndarray, boxes: np.ndarray) -> tuple[Tensor, Tensor]:
    """Picture uint8 (H, W, 3) and boxes (n, 4) as tensors on the machine's device: (3, H, W) in [0, 1], (n, 4)."""
    return to_tensor(image).to(device()), torch.as_tensor(boxes, dtype=torch.float32, device=device())


@torch.inference_mode()
def feature_maps(net: CommunityNet, picture: Tensor) -> list[np.ndarray]:
    """Length of the shared features at every place, s1 to s4 of a picture (3, H, W): (h, w) each, maximum 1."""
    lengths = [level[0].norm(dim=0) for level in net.detector.backbone(picture[None])]
    return [(length / length.max().clamp(min=1e-9)).cpu().numpy() for length in lengths]


def parts_of(net: CommunityNet, picture: Tensor, boxes: Tensor) -> pd.DataFrame:
    """Layers, output and number of weights of every part, read off the network as a picture with boxes (m, 4) passes.

    A frozen part is one without a weight that learns.
    """
    modules = {f"shared s{level}": stage for level, stage in enumerate(net.detector.backbone.stages, 1)}
    modules |= {"last stage, on RoIs": net.detector.last, "recognition": net.detector.recognition}
    modules |= {"detection": net.detector.detection}
    modules |= {f"refinement {k}": branch for k, branch in enumerate(net.detector.branches, 1)}
    modules |= {} if net.detector.regressor is None else {"regressor": net.detector.regressor}
    modules |= {} if net.img is None else {f"IMG, CAM {k}": cam for k, cam in enumerate(net.img.levels, 1)}
    modules |= {} if net.seg is None else {"IS, convolutions": net.seg.body, "IS, output": net.seg.output}
    sizes: dict[str, str] = {}
    hooks = [module.register_forward_hook(_noted(sizes, name)) for name, module in modules.items()]
    masks_inside(net, picture, boxes, torch.ones(len(boxes), dtype=torch.long, device=boxes.device))
    for hook in hooks:
        hook.remove()
    return pd.DataFrame({name: _facts(module, sizes[name]) for name, module in modules.items()}).T


def _noted(sizes: dict[str, str], name: str):
    def note(module: torch.nn.Module, inputs: tuple, output: Tensor | tuple[Tensor, Tensor]) -> None:
        last = output if isinstance(output, Tensor) else output[1]  # a CAM gives logits, then maps
        sizes[name] = " x ".join(map(str, last.shape[1:]))

    return note


def _facts(module: torch.nn.Module, size: str) -> dict[str, str]:
    weights = list(module.parameters())
    learns = any(weight.requires_grad for weight in weights)
    count = sum(weight.numel() for weight in weights)
    return {"layers": describe(module), "output": size, "weights": f"{count:,}", "learns": "yes" if learns else "no"}
