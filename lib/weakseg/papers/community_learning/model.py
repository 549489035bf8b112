"""The whole community: detector, instance mask generation and instance segmentation on shared features (figure 2)."""

from pathlib import Path

import torch
from pydantic import Field
from safetensors.torch import load_file
from torch import Tensor, nn

from weakseg.nets.resize import bilinear
from weakseg.nets.roi_detector import DetectorParams, RoiDetector, build_detector
from weakseg.papers.community_learning.img import Img, ImgParams, convolution, of_label
from weakseg.study.params import Group
from weakseg.study.stages import Artifact


class SegParams(Group):
    """Instance segmentation: so many convolutions of these widths (section 3.2.3: four; widths not given)."""

    on: bool = True
    channels: tuple[int, ...] = Field((256, 256, 256, 256), min_length=1)


class Segmenter(nn.Module):
    """Convolutions and an output layer of one binary map per class.

    Equation 9 lists a background map too; only the map of a proposal's class is ever trained or read here, so there is
    none.
    """

    def __init__(self, inputs: int, classes: int, params: SegParams):
        super().__init__()
        widths = (inputs, *params.channels)
        self.body = nn.Sequential(*(convolution(a, b) for a, b in zip(widths, widths[1:], strict=False)))
        self.output = nn.Conv2d(widths[-1], classes, 1)

    def forward(self, features: Tensor, label: Tensor) -> Tensor:
        """Features (S, D, T, T), labels (S,) from 1 -> logits (S, T, T) of each one's class."""
        return of_label(self.output(self.body(features)).float(), label - 1)


class CommunityNet(nn.Module):
    """Detector; IMG and IS where they are on. tagged, won (C,): how often in training a class was tagged, and how often
    it then was the highest label of some proposal.
    """

    def __init__(self, detector: RoiDetector, img: ImgParams, seg: SegParams):
        super().__init__()
        if seg.on and not img.on:
            raise ValueError("seg.on: instance segmentation learns from the masks of img; set img.on to true too")
        self.detector, self.size = detector, img.size
        C, widths = detector.classes, [detector.channels[level] for level in (4, 3, 2, 1)][: img.cams]
        self.img = Img(widths, C, img) if img.on else None
        self.seg = Segmenter(widths[0], C, seg) if seg.on else None
        self.register_buffer("tagged", torch.zeros(C, dtype=torch.long))
        self.register_buffer("won", torch.zeros(C, dtype=torch.long))

    def levels(self, features: Tensor, maps: list[Tensor], boxes: Tensor, owner: Tensor) -> list[Tensor]:
        """What IMG and IS read of S proposals, T x T each: the last stage's RoI (S, D, h, w) enlarged, s4, s3, s2.

        maps: s1..s4 of the pictures. boxes: (S, 4). owner: (S,). As many levels as IMG has CAMs.
        """
        T = self.size
        enlarged = bilinear(features, (T, T))
        wanted = (4, 3, 2)[: len(self.img.levels) - 1]
        return [enlarged, *(self.detector.pooled(maps, level, boxes, owner, T) for level in wanted)]


def build_community(
    detector: DetectorParams,
    img: ImgParams,
    seg: SegParams,
    classes: int,
    weights: str | None = None,
    init: Artifact | None = None,
) -> CommunityNet:
    """The network; weights and init are for its backbone, as in nets.roi_detector.build_detector."""
    return CommunityNet(build_detector(detector, classes, weights, init), img, seg)


def start_from(model: CommunityNet, weights: Path) -> None:
    """Everything that a shorter member of the family (the detector alone) has learned; what it lacks stays as it is.

    Raises ValueError when that run holds parts that `model` does not have, or of other sizes.
    """
    tensors = {key: value for key, value in load_file(weights).items() if key not in ("tagged", "won")}
    own = model.state_dict()
    wrong = [key for key, value in tensors.items() if key not in own or own[key].shape != value.shape]
    if wrong:
        raise ValueError(f"{weights}: {wrong[0]} does not fit; the prefix must be the same detector without extras")
    model.load_state_dict(tensors, strict=False)
