"""From a displacement field to a class-agnostic instance map (IRN section 5).

Fields are (B, 2, H, W) in grid cells, channel 0 dy, channel 1 dx: where, seen from a cell, its instance's centroid is.
"""

import numpy as np
import scipy.ndimage
import torch
import torch.nn.functional as F


@torch.inference_mode()
def end_points(displacement: torch.Tensor, iterations: int = 300) -> torch.Tensor:
    """Where every cell arrives when it follows the field: (B, 2, H, W) -> whole coordinates (B, 2, H, W), int64.

    D_{u+1}(x) = D_u(x) + D(x + D_u(x)), sampled bilinearly, every step kept on the grid (IRN equation 9).
    """
    B, _, H, W = displacement.shape
    start = torch.stack(torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")).to(displacement)
    position = start.expand(B, -1, -1, -1)
    limit = torch.tensor([H - 1, W - 1], device=displacement.device, dtype=displacement.dtype).view(1, 2, 1, 1)
    scale = 2 / limit.clamp(min=1)
    for _ in range(iterations):
        where = (position * scale - 1).flip(1).permute(0, 2, 3, 1)  # (B, H, W, 2), x before y as grid_sample wants
        step = F.grid_sample(displacement, where, mode="bilinear", padding_mode="border", align_corners=True)
        position = torch.minimum((position + step).clamp(min=0), limit)
    return position.round().long()


def instance_map(displacement: np.ndarray, ends: np.ndarray, weak: float, keep_rest: bool) -> np.ndarray:
    """Instance numbers (H, W), 1..n without gaps; 0 where a cell belongs to none.

    displacement (2, H, W); ends (2, H, W) of `end_points`. Cells with |D| < weak form 4-connected centroid regions; a
    cell takes the number of the region it arrives in. Those that arrive outside every region form one more instance
    when keep_rest (the released code), else none. A field without any region is one instance.
    """
    regions, _ = scipy.ndimage.label(np.hypot(*displacement) < weak)
    arrived = regions[ends[0], ends[1]]
    if not keep_rest and arrived.any():
        kept, numbers = np.unique(arrived, return_inverse=True)
        return numbers.reshape(arrived.shape) + (kept[0] != 0)
    return np.unique(arrived, return_inverse=True)[1].reshape(arrived.shape) + 1


def one_hot(instances: np.ndarray) -> np.ndarray:
    """Instance numbers (H, W) in 0..n -> float32 (n, H, W); number 0 has no plane."""
    return (instances[None] == np.arange(1, instances.max(initial=0) + 1)[:, None, None]).astype(np.float32)
