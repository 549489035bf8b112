"""From detections to instance masks (section 3.4): IMG and IS look into every detected box, and agree on a mask."""

from pathlib import Path

import torch
from torch import Tensor

from weakseg.data.weak import TagView
from weakseg.nets.augment import to_tensor
from weakseg.nets.roi_infer import RoiTestParams, glances
from weakseg.ops.detections import load_detected
from weakseg.ops.paste import pasted
from weakseg.papers.community_learning.model import CommunityNet
from weakseg.study.artifacts import save_instances
from weakseg.study.machine import autocast, device
from weakseg.study.stages import Artifact


def mask_maps(
    net: CommunityNet, picture: Tensor, boxes: Tensor, label: Tensor, test: RoiTestParams
) -> tuple[Tensor, Tensor | None]:
    """M^c and S^c (None without IS), (m, T, T) each in 0..1, of boxes (m, 4) with labels (m,) from 1.

    The mean over all glances at the picture (3, H, W), mirrored back.
    """
    owner = torch.zeros(len(boxes), dtype=torch.long, device=boxes.device)
    attention, segmentation = [], []
    for glance in glances(picture, test):
        seen = glance.boxes(boxes)
        read, maps = net.detector(glance.picture, seen, owner)
        levels = net.levels(read.features, maps, seen, owner)
        found = [net.img.attention(net.img(levels)[1], label)]
        found += [] if net.seg is None else [net.seg(levels[0], label).sigmoid()]
        found = [each.flip(-1) for each in found] if glance.flipped else found
        attention.append(found[0])
        segmentation += found[1:]
    return torch.stack(attention).mean(0), torch.stack(segmentation).mean(0) if segmentation else None


def ensemble(attention: Tensor, segmentation: Tensor | None) -> Tensor:
    """(M^c + S^c) / 2 of equation 10, M^c alone where there is no IS: what the threshold xi is held against."""
    return attention if segmentation is None else (attention + segmentation) / 2


@torch.inference_mode()
def mask_all(
    out: Path,
    net: CommunityNet,
    view: TagView,
    detections: Artifact,
    test: RoiTestParams,
    threshold: float,
    precision: str,
) -> None:
    """Writes instances/<name>.npz: O^c = [(M^c + S^c) / 2 > xi] (equation 10) inside every detected box."""
    for index, name in enumerate(view.names):
        picture = to_tensor(view.image(index)).to(device())
        boxes, labels, scores = load_detected(detections, name)
        where = torch.from_numpy(boxes).to(device()), torch.from_numpy(labels + 1).to(device())
        with autocast(precision):
            maps = ensemble(*mask_maps(net, picture, *where, test)).float().cpu().numpy()
        save_instances(
            out / "instances", name, pasted(maps, boxes, tuple(picture.shape[1:]), threshold), labels, scores
        )
