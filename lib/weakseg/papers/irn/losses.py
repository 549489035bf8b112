"""What IRNet learns from: relations of pairs of cells whose labels are confident (IRN section 4, equations 5 to 9)."""

from dataclasses import dataclass

import torch

from weakseg.ops import affinity

IGNORED = 255
EPSILON = 1e-5


@dataclass(frozen=True)
class Relations:
    """Three disjoint sets of pairs, bool (B, P, h, w): same object class, both background, different labels."""

    foreground: torch.Tensor
    background: torch.Tensor
    negative: torch.Tensor


def relations(labels: torch.Tensor, radius: int) -> Relations:
    """Relations of all pairs within `radius`; pairs with an ignored end are in no set.

    labels: (B, h, w), 0 background, c + 1 class c, 255 ignored. IRN equation 5.
    """
    here = affinity.sources(labels, radius)[:, None]
    there = affinity.destinations(labels, radius)  # (B, P, h', w')
    valid = (here != IGNORED) & (there != IGNORED)
    same = valid & (here == there)
    return Relations(same & (here != 0), same & (here == 0), valid & (here != there))


def mean_over(values: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Mean of the values where `chosen`, over the whole batch; 0 when nothing is chosen."""
    return (values * chosen).sum() / (chosen.sum() + EPSILON)


def displacement_loss(displacement: torch.Tensor, pairs: Relations, radius: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Foreground and background terms, with delta(i, j) = D(x_i) - D(x_j) and delta_hat(i, j) = x_j - x_i:

        L_fg = mean over P+_fg of |delta - delta_hat|,    L_bg = mean over P+_bg of |delta|

    L1, mean over both components as well (IRN equations 7 and 8). displacement: (B, 2, h, w) in cells.
    """
    delta = affinity.sources(displacement, radius).unsqueeze(2) - affinity.destinations(displacement, radius)
    wanted = torch.tensor(affinity.offsets(radius), device=delta.device, dtype=delta.dtype).T[None, :, :, None, None]
    foreground = (delta - wanted).abs().mean(1)  # (B, P, h', w')
    return mean_over(foreground, pairs.foreground), mean_over(delta.abs().mean(1), pairs.background)


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
