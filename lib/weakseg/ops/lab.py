"""CIE L*a*b* of RGB pictures, on whatever device they are (CIE 15:2004; white D65, 2 degrees)."""

import torch
from torch import Tensor

# Linear sRGB -> XYZ (IEC 61966-2-1), each row divided by the white point's X, Y or Z.
_WHITE = torch.tensor([0.95047, 1.0, 1.08883])
_XYZ = torch.tensor([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
_SMALL, _SLOPE, _OFFSET = 0.008856, 7.787, 16 / 116


def lab(pictures: Tensor) -> Tensor:
    """Pictures (B, 3, H, W), sRGB in [0, 1] -> (B, 3, H, W): L* in 0..100, a* and b* about -128..127."""
    linear = torch.where(pictures > 0.04045, ((pictures.clamp(min=0) + 0.055) / 1.055) ** 2.4, pictures / 12.92)
    matrix = (_XYZ / _WHITE[:, None]).to(pictures)
    xyz = torch.einsum("dc,bchw->bdhw", matrix, linear)
    bent = torch.where(xyz > _SMALL, xyz.clamp(min=_SMALL) ** (1 / 3), _SLOPE * xyz + _OFFSET)
    x, y, z = bent.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)  # (B, 3, H, W)
