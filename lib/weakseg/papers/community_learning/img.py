"""Instance mask generation: class activation maps inside proposals (section 3.2.2, equations 1, 7, 8 and 15)."""

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from weakseg.nets.roi_detector import small_start
from weakseg.ops.multiple_instance import EPSILON, binary_loss
from weakseg.study.params import Group


class ImgParams(Group):
    """cams: 1 reads the last stage, 2 also s4, 3 (the paper) also s3, 4 also s2 (which level table 7 adds, the paper
    does not say). background: one more class for it. sigma: width of the weighted pooling's Gaussian in cells, not
    given in the paper; null pools evenly. smooth: log(1 + f) of the features. size: T. channels: of each level's
    convolution, not given. threshold: xi.
    """

    on: bool = True
    cams: int = Field(3, ge=1, le=4)
    background: bool = True
    sigma: float | None = Field(7.0, gt=0)
    smooth: bool = True
    size: int = Field(28, ge=2)
    channels: int = Field(256, ge=8, multiple_of=8)
    threshold: float = Field(0.4, gt=0, lt=1)


def convolution(inputs: int, outputs: int) -> nn.Sequential:
    """3x3 convolution, group norm (appendix A.1: the batch is small), ReLU.

    Beyond its edge a map goes on as at the edge: with zeros there, the edges of all boxes look alike, and a frame of
    cells lights up in every CAM.
    """
    convolved = nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="replicate", bias=False)
    return nn.Sequential(convolved, nn.GroupNorm(8, outputs), nn.ReLU(inplace=True))


def pooling_weights(size: int, sigma: float | None) -> Tensor:
    """Weights (T, T) with sum 1 of the weighted global average: an isotropic Gaussian around the centre, or even."""
    if sigma is None:
        return torch.full((size, size), 1 / size**2)
    place = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    along = torch.exp(-(place**2) / (2 * sigma**2))
    return (along[:, None] * along[None] / along.sum() ** 2).float()


def smoothed(features: Tensor) -> Tensor:
    """log(1 + f), f >= 0: a high peak weighs less."""
    return torch.log1p(features)


class Cam(nn.Module):
    """One level: a convolution, smoothing, weighted global average, linear classifier."""

    def __init__(self, inputs: int, classes: int, params: ImgParams):
        super().__init__()
        self.convolution, self.smooth = convolution(inputs, params.channels), params.smooth
        self.classifier = nn.Linear(params.channels, classes, bias=False)
        self.register_buffer("weights", pooling_weights(params.size, params.sigma), persistent=False)
        small_start(self.classifier)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """RoI features (S, D, T, T) -> logits (S, K), and maps M_c = w_c . F (equation 15), (S, K, T, T)."""
        x = self.convolution(features).float()
        x = smoothed(x) if self.smooth else x
        S, D, T, _ = x.shape
        maps = torch.einsum("sdhw,kd->skhw", x, self.classifier.weight).float()
        return (maps * self.weights).sum((2, 3)), maps  # pooling and classifier are linear: their order is free


class Img(nn.Module):
    """One `Cam` for each level, the deepest first."""

    def __init__(self, channels: list[int], classes: int, params: ImgParams):
        super().__init__()
        self.background = params.background
        self.levels = nn.ModuleList(Cam(inputs, classes + params.background, params) for inputs in channels)

    def forward(self, levels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Features of every level (S, D_k, T, T) -> logits of every level (S, K), maps of every level (S, K, T, T)."""
        pairs = [cam(features) for cam, features in zip(self.levels, levels, strict=True)]
        return [logits for logits, _ in pairs], [maps for _, maps in pairs]

    def loss(self, logits: list[Tensor], label: Tensor) -> Tensor:
        """L_img, the sum of `cam_loss` over the levels (equation 8). label: (S,), 0 background, c + 1 class c.

        Without a background class, background proposals have nothing to say and are left out.
        """
        if self.background:
            return torch.stack([cam_loss(each, label) for each in logits]).sum()
        kept = (label > 0).nonzero()[:, 0]
        return torch.stack([cam_loss(each[kept], label[kept] - 1) for each in logits]).sum()

    def attention(self, maps: list[Tensor], label: Tensor) -> Tensor:
        """The average over levels of the min-max normalised map of each proposal's class label (S,), from 1."""
        column = label - (0 if self.background else 1)
        return torch.stack([stretched(of_label(each, column)) for each in maps]).mean(0)  # (S, T, T)


def cam_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Equation 7: binary cross entropy of each of the K softmax outputs, summed over them, averaged over proposals.

        L_cam = - 1/|R| * sum over r, c of  y_rc log p_rc + (1 - y_rc) log(1 - p_rc)

    R: the proposals given. logits: (S, K), target: (S,) columns; 0 where S is 0.
    """
    S, K = logits.shape
    if not S:
        return logits.sum()
    return binary_loss(logits.softmax(1), F.one_hot(target, K)) / S


def of_label(maps: Tensor, column: Tensor) -> Tensor:
    """(S, K, T, T) and columns (S,) -> (S, T, T)."""
    return maps[torch.arange(len(maps), device=maps.device), column]


def stretched(maps: Tensor) -> Tensor:
    """Every map (S, T, T) from its minimum to its maximum as 0..1; an even map becomes 0."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low).clamp(min=EPSILON)
