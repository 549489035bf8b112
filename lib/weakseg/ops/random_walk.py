"""Random walk on a grid whose cells know only their neighbours (IRN section 4; AffinityNet).

A transition is never formed for all pairs of cells: it is a sparse matrix with one row per cell, and the few rows of
scores are multiplied by it one step after the other. That is scores T^steps without squaring a dense T, or its size.

The scores stand on the left of T as rows, and the columns of T sum to 1, T_ij = a_ij^beta / sum_k a_kj^beta: a step
gives cell j the weighted mean of its neighbours' scores. What is stored is T transposed, so its rows sum to 1.
"""

import warnings

import numpy as np
import scipy.sparse
import torch
import torch.nn.functional as F

from weakseg.ops import affinity


def transition(pairs: torch.Tensor, radius: int, beta: float) -> torch.Tensor:
    """T transposed: sparse CSR matrix (B*H*W, B*H*W) whose row j holds T_ij = a_ij^beta / sum_k a_kj^beta for the
    neighbours i of j.

    pairs: (B, P, H, W) affinity in [0, 1] of every cell with its neighbour at affinity.offsets(radius)[p]; what lies
    outside the grid is ignored. The affinity is symmetric, 1 of a cell with itself.
    """
    B, P, H, W = pairs.shape
    steps, inside = _neighbours(H, W, radius, pairs.device)
    forward = pairs.pow(beta)
    backward = torch.stack([_shifted(forward[:, p], *step) for p, step in enumerate(affinity.offsets(radius))], 1)
    weights = torch.cat([backward.flip(1), torch.ones_like(forward[:, :1]), forward], 1)  # (B, 2P+1, H, W)
    weights = weights.permute(0, 2, 3, 1).flatten(1, 2) * inside  # (B, HW, 2P+1)
    weights = weights / weights.sum(-1, keepdim=True)
    cells = torch.arange(B * H * W, device=pairs.device).view(B, H * W, 1)
    used = inside.expand(B, -1, -1)
    starts = F.pad(used.sum(-1).flatten().cumsum(0), (1, 0))
    return _csr(starts.int(), (cells + steps)[used].int(), weights[used], B * H * W)


def _neighbours(H: int, W: int, radius: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Steps in cell numbers to the 2P+1 neighbours, ascending, and whether they are on the grid (HW, 2P+1)."""
    half = affinity.offsets(radius)
    steps = torch.tensor([(-dy, -dx) for dy, dx in reversed(half)] + [(0, 0), *half], device=device)
    ys, xs = torch.meshgrid(torch.arange(H, device=device), torch.arange(W, device=device), indexing="ij")
    y, x = ys.reshape(-1, 1) + steps[:, 0], xs.reshape(-1, 1) + steps[:, 1]
    return steps[:, 0] * W + steps[:, 1], (y >= 0) & (y < H) & (x >= 0) & (x < W)


def _shifted(values: torch.Tensor, dy: int, dx: int) -> torch.Tensor:
    """values (B, H, W) -> at (y, x) what was at (y - dy, x - dx), 0 from outside."""
    H, W = values.shape[-2:]
    return F.pad(values, (max(dx, 0), max(-dx, 0), dy, 0))[:, :H, max(-dx, 0) : max(-dx, 0) + W]


def _csr(starts: torch.Tensor, columns: torch.Tensor, values: torch.Tensor, size: int) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse")  # torch announces its sparse layout as beta, once a process
        return torch.sparse_csr_tensor(starts, columns, values, (size, size), check_invariants=False)


def walk(matrix: torch.Tensor, scores: torch.Tensor, steps: int) -> torch.Tensor:
    """`steps` times scores <- scores T, rows of scores times T^steps. scores: (B, R, H, W) or, for one grid, (R, H, W).

    matrix: of `transition`, T transposed; it is multiplied by the scores as columns, which is the same product.
    """
    batch = scores if scores.ndim == 4 else scores[None]
    B, R, H, W = batch.shape
    columns = batch.permute(0, 2, 3, 1).reshape(B * H * W, R)
    if matrix.device.type == "cpu" and not torch.backends.mkl.is_available():
        columns = _walk_scipy(matrix, columns, steps)  # torch multiplies sparse matrices on the CPU with MKL only
    else:
        for _ in range(steps):
            columns = matrix @ columns
    return columns.view(B, H, W, R).permute(0, 3, 1, 2).reshape(scores.shape)


def _walk_scipy(matrix: torch.Tensor, columns: torch.Tensor, steps: int) -> torch.Tensor:
    parts = (matrix.values().numpy(), matrix.col_indices().numpy(), matrix.crow_indices().numpy())
    sparse, result = scipy.sparse.csr_array(parts, matrix.shape), columns.numpy()
    for _ in range(steps):
        result = sparse @ result
    return torch.from_numpy(result)


def boundary_pairs(boundary: torch.Tensor, radius: int) -> torch.Tensor:
    """Affinities 1 - (strongest boundary on the path) of every cell of (B, H, W): (B, P, H, W), 0 towards outside."""
    r = radius - 1
    return affinity.affinities(F.pad(boundary, (r, r, 0, r), value=1.0), radius)


@torch.inference_mode()
def propagate(
    scores: torch.Tensor | np.ndarray,
    boundary: torch.Tensor | np.ndarray,
    radius: int = 5,
    beta: float = 10,
    steps: int = 256,
) -> torch.Tensor | np.ndarray:
    """Rows of scores times T^steps, T_ij = a_ij^beta / sum_k a_kj^beta, a_ij = 1 - max_{k on path ij} B(x_k).

    scores: (R, H, W), boundary: (H, W) in [0, 1]; or a batch, (B, R, H, W) and (B, H, W). Tensors (on one device) or
    arrays; the result is of the same kind and shape as the scores. IRN equations 6, 10 and 11. A grid of 125 x 94 with
    5 rows and 256 steps takes about 0.2 s and 40 MB on 2 cores.

    Raises ValueError when the sizes disagree or a boundary leaves [0, 1].
    """
    rows, edge = torch.as_tensor(scores), torch.as_tensor(boundary)
    _check(rows, edge)
    # In float32 256 steps add their rounding up to 2e-4 of the result; float64 costs a third more time.
    pairs = boundary_pairs((edge if edge.ndim == 3 else edge[None]).double(), radius)
    result = walk(transition(pairs, radius, beta), rows.double(), steps).to(rows.dtype)
    return result.numpy() if isinstance(scores, np.ndarray) else result


def _check(scores: torch.Tensor, boundary: torch.Tensor) -> None:
    fits = scores.ndim == boundary.ndim + 1 and boundary.ndim in (2, 3)
    if not fits or scores.shape[-2:] != boundary.shape[-2:] or (scores.ndim == 4 and len(scores) != len(boundary)):
        raise ValueError(
            f"scores {tuple(scores.shape)} do not fit boundary {tuple(boundary.shape)}; wanted (R, H, W) and (H, W)"
        )
    if boundary.numel() and not (boundary.min() >= 0 and boundary.max() <= 1):
        raise ValueError(f"boundary: values {boundary.min():.3g}..{boundary.max():.3g} leave [0, 1]; apply a sigmoid")
