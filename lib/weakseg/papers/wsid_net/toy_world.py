"""A world small enough to see a count at work: touching discs, the field of a net that sees one thing where there are
more, and what the gradient of a count alone makes of that field. For the lesson."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from weakseg.ops.counts import hard_groups, salient_votes, soft_count
from weakseg.papers.wsid_net.losses import count_loss
from weakseg.papers.wsid_net.params import CountParams

Place = tuple[float, float]  # y, x in cells


def discs(centres: Sequence[Place], radius: float, size: tuple[int, int]) -> np.ndarray:
    """The nearest disc's number 1..n at the cells (h, w) within `radius` of its centre, 0 elsewhere."""
    y, x = np.mgrid[: size[0], : size[1]]
    away = np.stack([np.hypot(y - cy, x - cx) for cy, cx in centres])  # (n, h, w)
    return np.where(away.min(0) <= radius, away.argmin(0) + 1, 0)


def field_to(centres: Sequence[Place], numbers: np.ndarray, reach: float = 1.0) -> np.ndarray:
    """Displacements (2, h, w) of each cell to the centre of its number, `reach` of the way; 0 outside.

    reach: below 1 the votes of a thing are spread like the thing itself, only closer together.
    """
    h, w = numbers.shape
    wanted = np.array([(0.0, 0.0), *centres])[numbers].transpose(2, 0, 1)  # (2, h, w)
    return (reach * (wanted - np.mgrid[:h, :w]) * (numbers > 0)).astype(np.float32)


@dataclass(frozen=True)
class Descent:
    """What gradient descent on L_SU alone did: fields (steps + 1, 2, h, w); soft and hard count at each of them."""

    fields: np.ndarray
    soft: tuple[float, ...]
    hard: tuple[int, ...]


def descend(
    field: np.ndarray, region: np.ndarray, wanted: int, how: CountParams, steps: int = 40, rate: float = 0.3
) -> Descent:
    """Let the count loss alone move the field (2, h, w) inside the region bool (h, w), by Adam's rule.

    wanted: the given count t*. Nothing else is learned: no picture, no pairs.
    """
    offsets = torch.from_numpy(field)[None].clone().requires_grad_()
    shown, counts = torch.from_numpy(region)[None], torch.tensor([wanted])
    rule, fields, soft, hard = torch.optim.Adam([offsets], lr=rate), [], [], []
    for step in range(steps + 1):
        fields.append(offsets[0].detach().numpy().copy())
        soft.append(float(soft_count(salient_votes(offsets.detach(), shown, how.most), how.width)))
        hard.append(int(hard_groups(offsets, shown, how.weak, how.share, how.iterations)[1]))
        if step < steps:
            rule.zero_grad()
            count_loss(offsets, shown, counts, how).backward()
            rule.step()
    return Descent(np.stack(fields), tuple(soft), tuple(hard))
