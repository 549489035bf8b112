"""How many centroids a displacement field points to, in forms that a count can train.

WSID-Net asks for MSE(t, t*) of the number t of centroids in the salient region and a given count t* (section 3.1,
equation 1). Counting has no gradient and the paper names no surrogate; the three here are ours. All speak of votes
p(x) = x + D(x): the place that a cell takes for its centroid.

Fields are (B, 2, h, w) in cells, regions bool (B, h, w), counts int (B,). Gradients reach only offsets inside the
region. What cannot be counted is left out of a loss: a picture without salient cell, and one whose count is 0; a count
above the number of salient cells is taken as that number, since a cell holds one centroid at most.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.ndimage
import torch
from torch import Tensor

from weakseg.ops.displacement import end_points

Surrogate = Literal["soft", "straight", "kmeans"]
TAIL = 3  # exponent of the kernel: tails, so that clusters far apart still feel each other


@dataclass(frozen=True)
class Votes:
    """At most M salient cells of each picture: where they are, where they point, and which slots are filled.

    cells, votes: (B, M, 2), y then x, in cells. weight: (B, M), 1 or 0. found: (B,), salient cells in all.
    """

    cells: Tensor
    votes: Tensor
    weight: Tensor
    found: Tensor


def salient_votes(displacement: Tensor, region: Tensor, most: int) -> Votes:
    """The votes of the salient cells; where there are more than `most`, of so many drawn by torch's generator."""
    B, _, h, w = displacement.shape
    drawn = torch.rand(region.shape, device=region.device) + region  # salient cells come first, in random order
    order = drawn.view(B, h * w).argsort(1, descending=True)[:, :most]  # (B, M)
    cells = torch.stack([order // w, order % w], -1).to(displacement)  # (B, M, 2)
    offsets = displacement.flatten(2).gather(2, order[:, None].expand(-1, 2, -1)).transpose(1, 2)  # (B, M, 2)
    weight = region.view(B, h * w).gather(1, order).to(displacement)
    return Votes(cells, cells + offsets, weight, region.sum((1, 2)))


def usable(counts: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
    """(wanted count (B,), whether the picture takes part (B,)). counts, found: int (B,).

    Raises ValueError for a negative count.
    """
    if (counts < 0).any():
        raise ValueError(f"counts: {counts.min().item()} is no number of instances; correct the count label")
    return torch.minimum(counts, found), (counts > 0) & (found > 0)


def soft_count(votes: Votes, width: float) -> Tensor:
    """A differentiable number of clusters of the votes, (B,); 0 without a salient cell.

        t = sum_i w_i / sum_j w_j K(p_i - p_j),    K(d) = (1 + |d|^2 / (2 a width^2))^-a,  a = 3

    A compact cluster of n votes adds n * 1 / n = 1, whatever its size. width: of a centroid, in cells.
    """
    apart = votes.votes[:, :, None] - votes.votes[:, None]  # (B, M, M, 2)
    near = (1 + apart.square().sum(-1) / (2 * TAIL * width**2)).pow(-TAIL)
    crowd = (near * votes.weight[:, None]).sum(-1)  # (B, M)
    return (votes.weight / crowd.clamp(min=1e-6)).sum(1)


def soft_count_loss(displacement: Tensor, region: Tensor, counts: Tensor, width: float, most: int = 1024) -> Tensor:
    """Mean over the pictures that take part of (soft count - t*)^2; 0 when none does."""
    votes = salient_votes(displacement, region, most)
    wanted, used = usable(counts, votes.found)
    return _mean_of((soft_count(votes, width) - wanted).square(), used)


def _mean_of(values: Tensor, used: Tensor) -> Tensor:
    return torch.where(used, values, 0).sum() / used.sum().clamp(min=1)


def group(points: Tensor, weight: Tensor, k: Tensor, iterations: int = 8) -> Tensor:
    """k-means: the group 0..k-1 of every point, int (B, M), with a k of its own for every picture.

    points: (B, M, D); weight: (B, M), points of weight 0 move no centre; k: int (B,). Starts from the point nearest to
    the mean and then, one after another, the point farthest from all centres so far; nothing is drawn.
    """
    B, M, D = points.shape
    K = max(1, int(k.max()))
    total = weight.sum(1).clamp(min=1)
    mean = (points * weight[..., None]).sum(1, keepdim=True) / total.view(B, 1, 1)
    chosen = ((points - mean).square().sum(-1) + 1e9 * (1 - weight)).argmin(1)
    centres = points[torch.arange(B), chosen][:, None]  # (B, 1, D)
    for _ in range(K - 1):
        farthest = (_squared(points, centres).amin(2) * weight).argmax(1)
        centres = torch.cat([centres, points[torch.arange(B), farthest][:, None]], 1)
    beyond = torch.arange(K, device=points.device)[None, None] >= k[:, None, None]  # (B, 1, K), centres not in use
    for _ in range(iterations):
        member = _members(points, centres, beyond) * weight[..., None]  # (B, M, K)
        size = member.sum(1)[..., None]  # (B, K, 1)
        centres = torch.where(size > 0, member.transpose(1, 2) @ points / size.clamp(min=1), centres)
    return _members(points, centres, beyond).argmax(2)


def _squared(points: Tensor, centres: Tensor) -> Tensor:
    return (points[:, :, None] - centres[:, None]).square().sum(-1)  # (B, M, K)


def _members(points: Tensor, centres: Tensor, beyond: Tensor) -> Tensor:
    nearest = _squared(points, centres).masked_fill(beyond, torch.inf).argmin(2)
    return torch.nn.functional.one_hot(nearest, centres.shape[1]).to(points)  # (B, M, K)


def group_means(values: Tensor, weight: Tensor, groups: Tensor, K: int) -> tuple[Tensor, Tensor]:
    """Means (B, K, D) and sizes (B, K) of values (B, M, D) by group (B, M); the mean of an empty group is 0."""
    member = torch.nn.functional.one_hot(groups, K).to(values) * weight[..., None]  # (B, M, K)
    size = member.sum(1)
    return member.transpose(1, 2) @ values / size.clamp(min=1)[..., None], size


def kmeans_loss(
    displacement: Tensor, region: Tensor, counts: Tensor, position: float = 0.5, most: int = 1024
) -> Tensor:
    """Votes regressed to centroids that k-means finds with k = t*: mean over pictures of the mean |p - c| in cells, L1.

    Groups are taken on votes beside `position` times the cells' own places: votes of two instances that point to one
    spot differ in nothing else. The centroid c of a group is the mean place of its cells.
    """
    votes = salient_votes(displacement, region, most)
    wanted, used = usable(counts, votes.found)
    with torch.no_grad():
        groups = group(torch.cat([votes.votes, position * votes.cells], -1), votes.weight, wanted)
        centroids, _ = group_means(votes.cells, votes.weight, groups, max(1, int(wanted.max())))
        target = centroids.gather(1, groups[..., None].expand(-1, -1, 2))  # (B, M, 2)
    distance = ((votes.votes - target).abs().mean(-1) * votes.weight).sum(1) / votes.weight.sum(1).clamp(min=1)
    return _mean_of(distance, used)


# ---------------------------------------------------------------- the hard count


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
