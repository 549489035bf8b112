"""Pictures with tags and box proposals, as a detector that learns from tags wants them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from weakseg.data.weak import TagView
from weakseg.nets import augment
from weakseg.ops.box_proposals import load_boxes
from weakseg.study.stages import Artifact


class ProposalSamples:
    """For `fit`: the short side becomes one of `short_sides` (None: pictures as they are), mirrored in half the cases.

    A picture without a proposal takes part with one box, the whole of it.
    """

    def __init__(self, view: TagView, proposals: Artifact, short_sides: tuple[int, ...] | None, flip: bool):
        self.view, self.short_sides, self.flip = view, short_sides, flip
        self.boxes = [load_boxes(proposals, name) for name in view.names]

    def __len__(self) -> int:
        return len(self.view)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        index, draw = key
        rng = np.random.default_rng(draw)
        picture, boxes = self.view.image(index), self.boxes[index]
        if self.short_sides:
            factor = float(rng.choice(self.short_sides)) / min(picture.shape[:2])
            picture, boxes = augment.rescale(picture, None, factor)[0], boxes * np.float32(factor)
        if self.flip and rng.random() < 0.5:
            picture, boxes = picture[:, ::-1], mirrored(boxes, picture.shape[1])
        return {
            "name": self.view.names[index],
            "picture": augment.to_bytes(picture),
            "boxes": torch.from_numpy(np.ascontiguousarray(boxes)),
            "tags": torch.as_tensor(self.view.tags(index)),
        }


def mirrored(boxes, width: float):
    """Boxes (n, 4), array or tensor, in the mirrored picture of this width."""
    turned = boxes + 0
    turned[:, 0], turned[:, 2] = width - boxes[:, 2], width - boxes[:, 0]
    return turned


def collate_proposals(samples: Sequence[dict]) -> dict:
    """Pictures padded to the largest (B, 3, H, W), boxes one after another (N, 4), count (B,), tags (B, C)."""
    H, W = (max(sample["picture"].shape[side] for sample in samples) for side in (1, 2))

    def pad(x: Tensor) -> Tensor:
        return nn.functional.pad(x, (0, W - x.shape[-1], 0, H - x.shape[-2]))

    return {
        "name": [sample["name"] for sample in samples],
        "picture": torch.stack([pad(sample["picture"]) for sample in samples]),
        "boxes": torch.cat([sample["boxes"] for sample in samples]),
        "count": torch.tensor([len(sample["boxes"]) for sample in samples]),
        "tags": torch.stack([sample["tags"] for sample in samples]),
    }


def owners(count: Tensor, boxes: Tensor) -> Tensor:
    """Picture (N,) of every proposal, from how many each picture has (B,); boxes: all (N, 4), one after another."""
    return torch.arange(len(count), device=count.device).repeat_interleave(count, output_size=len(boxes))
