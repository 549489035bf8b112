"""The number of centroids that a field really has, and the straight-through loss that moves it (see ops.counts)."""

import numpy as np
import scipy.ndimage
import torch
from torch import Tensor

from weakseg.ops.counts import Votes, group, group_means, usable
from weakseg.ops.displacement import end_points


def salient_instances(
    displacement: np.ndarray, ends: np.ndarray, region: np.ndarray, weak: float, share: float = 0.0
) -> np.ndarray:
    """Instance numbers int (h, w), 1..t on salient cells, 0 elsewhere: t is the number of centroids.

    Salient cells with |D| < weak form 4-connected centroids. A cell belongs to the centroid nearest to its arrival;
    a centroid to which fewer than `share` of the salient cells belong is none, and they go to the nearest other one.
    A region without any centroid is one instance; without a salient cell there is none.

    Args:
        displacement, ends: (2, h, w), of the field and of ops.displacement.end_points. region: bool (h, w).
    """
    centroids, count = scipy.ndimage.label((np.hypot(*displacement) < weak) & region)
    sizes = np.bincount(_nearest(centroids)[ends[0], ends[1]][region], minlength=count + 1)[1:]
    kept = np.flatnonzero(sizes >= max(1, share * region.sum())) + 1
    if not len(kept):
        return region.astype(np.int64)
    numbers = np.zeros(count + 1, np.int64)
    numbers[kept] = np.arange(1, len(kept) + 1)
    return np.where(region, _nearest(numbers[centroids])[ends[0], ends[1]], 0)


def _nearest(numbers: np.ndarray) -> np.ndarray:
    """At every cell of numbers (h, w) the nearest number that is not 0; all 0 where there is none."""
    if not numbers.any():
        return numbers
    _, (y, x) = scipy.ndimage.distance_transform_edt(numbers == 0, return_indices=True)
    return numbers[y, x]


def hard_groups(
    displacement: Tensor, region: Tensor, weak: float, share: float, iterations: int
) -> tuple[Tensor, Tensor]:
    """Instance numbers (B, h, w) as `salient_instances` gives them, and counts (B,); without gradient."""
    ends = end_points(displacement.detach().float(), iterations).cpu().numpy()
    fields, regions = displacement.detach().float().cpu().numpy(), region.cpu().numpy()
    numbers = np.stack([salient_instances(*one, weak, share) for one in zip(fields, ends, regions, strict=True)])
    numbers = torch.from_numpy(numbers).to(displacement.device)
    return numbers, numbers.amax((1, 2))


def straight_through_loss(
    displacement: Tensor,
    region: Tensor,
    counts: Tensor,
    weak: float,
    share: float = 0.05,
    iterations: int = 60,
) -> Tensor:
    """Mean over pictures of (t - t*)^2 with the hard count t; its gradient is that of (t - t*)^2 * pull.

    Too many: the votes of the smallest cluster are pulled to the mean vote of the nearest other one. Too few: the cells
    of the largest cluster are cut in two by 2-means of their places, and votes are pulled to the middle of each half.
    pull: mean squared distance of the moved votes to where they are pulled, over the squared side of the grid.
    """
    B, _, h, w = displacement.shape
    numbers, found = hard_groups(displacement, region, weak, share, iterations)
    wanted, used = usable(counts, region.sum((1, 2)))
    off = torch.where(used, found - wanted, 0)
    votes = _all_votes(displacement, region)
    with torch.no_grad():
        target, moved = _targets(votes, numbers.view(B, h * w), off)
    pull = ((votes.votes - target).square().sum(-1) * moved).sum(1) / moved.sum(1).clamp(min=1) / (h * w)
    value = off.square().to(pull)
    return (value + value * (pull - pull.detach())).sum() / used.sum().clamp(min=1)


def _all_votes(displacement: Tensor, region: Tensor) -> Votes:
    B, _, h, w = displacement.shape
    grid = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    cells = torch.stack(grid, -1).to(displacement).view(1, h * w, 2).expand(B, -1, -1)
    votes = cells + displacement.flatten(2).transpose(1, 2)  # (B, hw, 2)
    return Votes(cells, votes, region.view(B, h * w).to(displacement), region.sum((1, 2)))


def _targets(votes: Votes, numbers: Tensor, off: Tensor) -> tuple[Tensor, Tensor]:
    """Where votes are pulled (B, M, 2), and which are (B, M): the smallest cluster where off > 0, the largest where
    off < 0, none where the count is right."""
    K = int(numbers.max()) + 1
    groups = numbers.long()
    mean, size = group_means(votes.votes, votes.weight, groups, K)  # group 0 holds what is not salient
    size[:, 0] = 0
    smallest = size.masked_fill(size == 0, torch.inf).argmin(1)  # (B,)
    chosen = torch.where(off > 0, smallest, size.argmax(1))
    moved = (groups == chosen[:, None]) * votes.weight * (off != 0)[:, None]
    halves = group(votes.cells, moved, torch.full_like(chosen, 2))
    middle, _ = group_means(votes.cells, moved, halves, 2)
    split = middle.gather(1, halves[..., None].expand(-1, -1, 2))
    return torch.where((off > 0)[:, None, None], _neighbour(mean, size, smallest)[:, None], split), moved


def _neighbour(mean: Tensor, size: Tensor, chosen: Tensor) -> Tensor:
    """Mean vote (B, 2) of the cluster nearest to the chosen one; its own where there is no other."""
    rows = torch.arange(len(mean))
    distance = (mean - mean[rows, chosen][:, None]).square().sum(-1).masked_fill(size == 0, torch.inf)
    distance[rows, chosen] = torch.finfo(distance.dtype).max
    return mean[rows, distance.argmin(1)]
