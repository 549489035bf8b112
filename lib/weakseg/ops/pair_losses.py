"""What boundary and displacement fields learn from: relations of pairs of cells with confident labels.

IRN section 4, equations 5 to 9.
"""

from functools import lru_cache

import torch

from weakseg.ops import affinity
from weakseg.ops.affinity import EPSILON, Relations, mean_over, relations


def displacement_loss(displacement: torch.Tensor, pairs: Relations, radius: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Foreground and background terms, with delta(i, j) = D(x_i) - D(x_j) and delta_hat(i, j) = x_j - x_i:

        L_fg = mean over P+_fg of |delta - delta_hat|,    L_bg = mean over P+_bg of |delta|

    L1, mean over both components as well (IRN equations 7 and 8). displacement: (B, 2, h, w) in cells.
    """
    delta = affinity.sources(displacement, radius).unsqueeze(2) - affinity.destinations(displacement, radius)
    foreground = (delta - _steps(radius, delta.device, delta.dtype)).abs().mean(1)  # (B, P, h', w')
    return mean_over(foreground, pairs.foreground), mean_over(delta.abs().mean(1), pairs.background)


@lru_cache
def _steps(radius: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """delta_hat of every pair, (1, 2, P, 1, 1); kept, since carrying it to a GPU would wait for all work there."""
    return torch.tensor(affinity.offsets(radius), device=device, dtype=dtype).T[None, :, :, None, None]


def boundary_loss(boundary: torch.Tensor, pairs: Relations, radius: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Positive and negative terms of the affinity a = 1 - max over the path of B:

        1/2 mean_{P+_bg} -log a + 1/2 mean_{P+_fg} -log a    and    mean_{P-} -log(1 - a)

    (IRN equation 9). boundary: (B, h, w) in [0, 1].
    """
    edge = affinity.path_maxima(boundary, radius)  # (B, P, h', w')
    apart = -torch.log(1 - edge + EPSILON)
    positive = (mean_over(apart, pairs.background) + mean_over(apart, pairs.foreground)) / 2
    return positive, mean_over(-torch.log(edge + EPSILON), pairs.negative)


def grid_labels(labels: torch.Tensor, stride: int = 4) -> torch.Tensor:
    """Labels (B, H, W) at the middle of every grid cell: (B, H / stride, W / stride)."""
    return labels[:, stride // 2 :: stride, stride // 2 :: stride]


def irn_loss(
    logits: torch.Tensor,
    displacement: torch.Tensor,
    labels: torch.Tensor,
    radius: int,
    boundary_weight: float = 1.0,
    displacement_weight: float = 1.0,
    halved: bool = False,
) -> dict[str, torch.Tensor]:
    """All four terms and their weighted sum "loss".

    logits: (B, h, w) of the boundary; displacement: (B, 2, h, w); labels: (B, h, w) on the same grid.
    halved: the released code takes half of the sum that the paper states.
    """
    pairs = relations(labels, radius)
    positive, negative = boundary_loss(torch.sigmoid(logits), pairs, radius)
    foreground, background = displacement_loss(displacement, pairs, radius)
    total = boundary_weight * (positive + negative) + displacement_weight * (foreground + background)
    return {
        "loss": total / 2 if halved else total,
        "boundary_positive": positive,
        "boundary_negative": negative,
        "displacement_foreground": foreground,
        "displacement_background": background,
    }
