"""Boundary and displacement fields from a net that has both: frames, inference, mean shift (IRN section 4)."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from weakseg.data.weak import TagView
from weakseg.nets.augment import same_size_batches, window
from weakseg.study.machine import device

FieldsNet = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]  # (B, 3, H, W) -> (B, h, w), (B, 2, h, w)


def framed(picture: np.ndarray, crop: int) -> np.ndarray:
    """The picture padded bottom and right to `crop`, or to the next multiple of 16 where it is larger.

    The released code pads to 512 pixels, which no picture of VOC exceeds: it never cuts.
    """
    sides = [16 * -(-max(side, crop) // 16) for side in picture.shape[:2]]
    return window(picture, None, *sides)[0]


@torch.inference_mode()
def infer_fields(net: FieldsNet, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Boundary (B, h, w) = sigmoid(mean of the logits of the picture and of its mirror image, mirrored back), and
    displacement (B, 2, h, w), of the picture alone."""
    logits, displacement = net(pictures)
    mirrored, _ = net(pictures.flip(-1))
    return torch.sigmoid((logits + mirrored.flip(-1)).float() / 2), displacement.float()


@torch.inference_mode()
def measure_shift(net: nn.Module, seen: TagView, crop: int, batch_size: int) -> torch.Tensor:
    """Mean displacement (2,) over the top-left crops of the pictures, padding and background included.

    net: as `FieldsNet`. crop: in pixels. The last incomplete batch is dropped, unless it is the only one.
    """
    net.eval()
    crops = (window(seen.image(index), None, crop, crop)[0] for index in range(len(seen)))
    full = min(batch_size, len(seen))
    batches = (batch for _, batch in same_size_batches(crops, full) if len(batch) == full)
    return torch.stack([net(batch.to(device()))[1].float().mean((0, 2, 3)) for batch in batches]).mean(0)
