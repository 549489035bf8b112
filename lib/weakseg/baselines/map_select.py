"""MAP subset selection (Zhang et al., CVPR 2016): a few windows that explain many scored proposals."""

import numpy as np
from pydantic import Field

from weakseg.metrics.overlap import mask_iou, pack
from weakseg.study.params import Group


class SelectParams(Group):
    """The released values. background: weight of a proposal that no window explains (lambda). price: log prior of a
    window (phi). repel: of the overlap between chosen windows (gamma). most: windows at most."""

    background: float = Field(0.075, gt=0)
    price: float = Field(float(np.log(0.3)), le=0)
    repel: float = Field(1.0, ge=0)
    most: int = Field(30, ge=1)


def log_assignments(iou: np.ndarray, scores: np.ndarray, background: float) -> np.ndarray:
    """Log probability (n, n + 1) that proposal i belongs to window j, or, last, to the background:

        IoU(i, j) s_i / Z_i    and    lambda / Z_i,    Z_i = lambda + sum_j IoU(i, j) s_i

    iou: (n, n), scores: (n,) in [0, 1].
    """
    weights = np.concatenate([iou * scores[:, None], np.full((len(iou), 1), background)], 1)
    return np.log(np.maximum(weights, 1e-12) / weights.sum(1, keepdims=True))


def objective(chosen: np.ndarray, assigned: np.ndarray, clash: np.ndarray, select: SelectParams) -> float:
    """What is maximised: best log assignment of every proposal + price of each window - overlap of window pairs.

    chosen: bool (n,). assigned: (n, n + 1). clash: (n, n), see `clashes`.
    """
    best = assigned[:, np.r_[chosen, True]].max(1).sum()
    pairs = clash[np.ix_(chosen, chosen)]
    return float(best + select.price * chosen.sum() - select.repel * (pairs.sum() - np.trace(pairs)) / 2)


def clashes(iou: np.ndarray, contained: np.ndarray) -> np.ndarray:
    """Penalty (n, n) of choosing both: (IoU + share of the smaller one inside the larger) / 2."""
    return (iou + contained) / 2


def select(iou: np.ndarray, contained: np.ndarray, scores: np.ndarray, params: SelectParams) -> np.ndarray:
    """Places of the chosen windows, best gain first: added greedily while the objective rises, then each is taken away
    again if it rises without it. iou, contained: (n, n) of the proposals; scores: (n,)."""
    assigned, clash = log_assignments(iou, scores, params.background), clashes(iou, contained)
    chosen, order = np.zeros(len(scores), bool), []
    value = objective(chosen, assigned, clash, params)
    while len(order) < min(params.most, len(scores)):
        gains = [_with(chosen, j, assigned, clash, params) if not chosen[j] else -np.inf for j in range(len(scores))]
        j = int(np.argmax(gains))
        if gains[j] <= value:
            break
        chosen[j], value = True, gains[j]
        order.append(j)
    for j in list(order):
        without = _with(chosen, j, assigned, clash, params)
        if without > value:
            chosen[j], value = False, without
            order.remove(j)
    return np.array(order, np.int64)


def _with(chosen: np.ndarray, j: int, assigned: np.ndarray, clash: np.ndarray, params: SelectParams) -> float:
    changed = chosen.copy()
    changed[j] = not changed[j]
    return objective(changed, assigned, clash, params)


def mask_overlaps(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """IoU (n, n) and share of the smaller one inside the other (n, n) of masks bool (n, H, W)."""
    iou, area = mask_iou(masks, masks), np.bitwise_count(pack(masks)).sum(1, dtype=np.int64)
    both = iou * (area[:, None] + area[None]) / (1 + iou)
    return iou, both / np.maximum(np.minimum(area[:, None], area[None]), 1)
