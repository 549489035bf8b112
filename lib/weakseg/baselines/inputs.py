"""What the outside baselines feed their networks."""

from __future__ import annotations

import numpy as np

from weakseg.nets import augment


def square(picture: np.ndarray, side: int | None) -> np.ndarray:
    """The picture uint8 (H, W, 3) resized to side x side, or as it is when `side` is None."""
    return picture if side is None else augment.resize(picture, None, (side, side))[0]
