"""The three losses of SEC: seed, expand, constrain (Kolesnikov and Lampert, ECCV 2016, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.ops.crf import CrfParams, refine

NO_CUE = 255
SMALLEST_PROBABILITY = 1e-4  # of the smoothed softmax, as released
REFERENCE_CELLS = 41 * 41  # the paper's grid, for which the decays are given


def smoothed(scores: Tensor) -> Tensor:
    """Softmax of scores (B, K, h, w), every probability raised by 1e-4 and renormalised, so that logs stay finite."""
    raised = scores.softmax(dim=1) + SMALLEST_PROBABILITY
    return raised / raised.sum(dim=1, keepdim=True)


def seed_loss(probabilities: Tensor, cues: Tensor) -> Tensor:
    """Mean over the pictures of -(sum over cued cells of log p of the cue) / (cued cells of the picture); equation 2.

    probabilities: (B, K, h, w). cues: (B, h, w), 255 where there is none.
    """
    log_likelihood = -F.nll_loss(probabilities.log(), cues.long(), ignore_index=NO_CUE, reduction="none")
    count = (cues != NO_CUE).sum(dim=(1, 2)).clamp(min=1)
    return -(log_likelihood.sum(dim=(1, 2)) / count).mean()


def pooled(probabilities: Tensor, decay: float) -> Tensor:
    """Global weighted rank pooling, equations 3 and 4: (B, C, h, w) -> (B, C).

        G_c = sum_j d^(j - 1) p_c,(j) / sum_j d^(j - 1),  p_c,(1) >= p_c,(2) >= ...
    `decay` is d on 41 x 41 cells; on n cells the rank j - 1 counts as (j - 1) * 1681 / n of them.
    """
    ranked = probabilities.flatten(2).sort(dim=2, descending=True).values  # (B, C, n)
    n = ranked.shape[2]
    rank = torch.arange(n, device=ranked.device, dtype=ranked.dtype) * (REFERENCE_CELLS / n)
    weight = decay**rank
    return (ranked * weight).sum(dim=2) / weight.sum()


def expand_loss(probabilities: Tensor, tags: Tensor, decay_foreground: float, decay_background: float) -> Tensor:
    """Mean over the pictures of equation 5, background being class 0 of K = C + 1:

        - mean over tagged classes of log G_c(d_fg)  - mean over absent classes of log(1 - max p_c)  - log G_0(d_bg)

    probabilities: (B, K, h, w). tags: (B, C) of 0 and 1. A picture without tagged, or without absent,
    classes loses that term.
    """
    present = pooled(probabilities[:, 1:], decay_foreground).log() * tags
    absent = torch.log1p(-probabilities[:, 1:].amax(dim=(2, 3))) * (1 - tags)
    background = pooled(probabilities[:, :1], decay_background).log().squeeze(1)
    tagged = present.sum(dim=1) / tags.sum(dim=1).clamp(min=1)
    missing = absent.sum(dim=1) / (1 - tags).sum(dim=1).clamp(min=1)
    return -(tagged + missing + background).mean()


def constrain_loss(probabilities: Tensor, target: Tensor) -> Tensor:
    """Mean over pictures and cells of KL(target || p) = sum_k q_k log(q_k / p_k), equation 6; target fixed.

    probabilities, target: (B, K, h, w), the latter from the CRF.
    """
    target = target.detach()
    return (torch.xlogy(target, target) - target * probabilities.log()).sum(dim=1).mean()


def guides_of(pictures: Tensor, grid: Sequence[int]) -> Tensor:
    """Pictures (B, 3, H, W) in [0, 1] as a CRF on a net's grid (h, w) sees them: uint8 (B, h, w, 3), cells averaged."""
    small = F.interpolate(pictures.float(), tuple(grid), mode="area")
    return (255 * small).round().to(torch.uint8).permute(0, 2, 3, 1)  # (B, h, w, 3)


def crf_targets(probabilities: Tensor, pictures: Tensor, crf: CrfParams) -> Tensor:
    """Dense-CRF marginals (B, K, h, w) of probabilities (B, K, h, w), guided by small pictures uint8 (B, h, w, 3)."""
    guides, unaries = pictures.cpu().numpy(), probabilities.detach().float().cpu().numpy()
    marginals = np.stack([refine(guide, unary, crf) for guide, unary in zip(guides, unaries, strict=True)])
    raised = torch.from_numpy(marginals).to(probabilities) + SMALLEST_PROBABILITY
    return raised / raised.sum(dim=1, keepdim=True)
