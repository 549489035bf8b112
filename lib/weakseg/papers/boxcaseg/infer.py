"""From boxes to proxy masks (BoxCaseg section 3.4): the crop of each box through the net, stretched, cut, pasted."""

from collections.abc import Callable, Iterator
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from weakseg.papers.boxcaseg.boxes import PictureBoxes
from weakseg.papers.boxcaseg.losses import Mix, fused, upsampled
from weakseg.papers.boxcaseg.model import BoxCaseg
from weakseg.papers.boxcaseg.samples import SampleParams, cut, normalised
from weakseg.study.machine import device

HeadName = Literal["fused", "weak"]


def crops_to_read(image: Callable[[int], np.ndarray], boxes: list[PictureBoxes], how: SampleParams) -> Iterator[Tensor]:
    """The content of every box of every picture, one after another: (3, test_side, test_side)."""
    for index, found in enumerate(boxes):
        for corners in found.corners:
            yield normalised(cut(image(index), tuple(corners), how.test_side), "crop", how.faithful)


def batched(crops: Iterator[Tensor], size: int) -> Iterator[Tensor]:
    """Stacks of `size` crops, the last one smaller."""
    waiting: list[Tensor] = []
    for crop in crops:
        waiting.append(crop)
        if len(waiting) == size:
            yield torch.stack(waiting)
            waiting = []
    if waiting:
        yield torch.stack(waiting)


@torch.inference_mode()
def read_heads(net: BoxCaseg, crops: Tensor, head: HeadName, alpha: float, mix: Mix) -> np.ndarray:
    """Crops (B, 3, s, s) -> stretched probabilities uint8 (B, s, s): 0 at each crop's minimum, 255 at its maximum."""
    B, _, H, W = crops.shape
    scores = net(crops.to(device()))
    logits = scores.weak if head == "weak" else fused(scores.salient, scores.transferred, alpha, mix)
    return stretched(upsampled(logits, (H, W)).sigmoid()).cpu().numpy()


@torch.inference_mode()
def head_chances(net: BoxCaseg, crop: Tensor, alpha: float, mix: Mix) -> dict[str, np.ndarray]:
    """What each head makes of one crop (3, s, s): probabilities float32 (s, s), not stretched, for the eye."""
    scores = net(crop[None].to(device()))
    logits = {"weak": scores.weak, "salient": scores.salient, "transferred": scores.transferred}
    logits["fused"] = fused(scores.salient, scores.transferred, alpha, mix)
    return {name: upsampled(each, crop.shape[1:]).sigmoid()[0].cpu().numpy() for name, each in logits.items()}


def stretched(chance: Tensor) -> Tensor:
    """Probabilities (B, H, W), each map stretched to 0..1, as uint8 (B, H, W); a constant map becomes 0."""
    low, high = chance.amin((1, 2), keepdim=True), chance.amax((1, 2), keepdim=True)
    return ((chance - low) / (high - low).clamp(min=1e-12) * 255).round().to(torch.uint8)


def pasted(levels: np.ndarray, corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """One map uint8 (s, s) resized to its box, bilinear, cut at one half: bool (H, W) of the picture."""
    x0, y0, x1, y1 = (int(side) for side in corners)
    mask = np.zeros(size, bool)
    mask[y0:y1, x0:x1] = cv2.resize(levels, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR) > 127
    return mask


def proxy_masks(
    net: BoxCaseg,
    image: Callable[[int], np.ndarray],
    boxes: list[PictureBoxes],
    how: SampleParams,
    batch_size: int,
    read: tuple[HeadName, float, Mix],
) -> Iterator[np.ndarray]:
    """Masks bool (n, H, W) of every picture in turn, one for each of its boxes. read: as in `read_heads`."""
    maps = (
        level
        for crops in batched(crops_to_read(image, boxes, how), batch_size)
        for level in read_heads(net, crops, *read)
    )
    for index, found in enumerate(boxes):
        size = image(index).shape[:2]
        masks = [pasted(next(maps), corners, size) for corners in found.corners]
        yield np.array(masks, bool).reshape(-1, *size)
