"""Scenes for the final models: filled discs and squares on noise."""

import numpy as np
import pytest


def scene(seed: int, side: int = 64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Picture (H, W, 3) uint8, masks bool (2, H, W), labels (2,): a red disc (0) and a green square (1) apart."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    (a, b), (c, d) = rng.integers(12, side - 12, 2), rng.integers(12, side // 2 - 8, 2)
    b, d = (b % (side // 2 - 20)) + 10, d % 10 + side // 2 + 10
    disc, square = (y - a) ** 2 + (x - b) ** 2 <= 81, (abs(y - c) <= 8) & (abs(x - d) <= 8)
    image = rng.integers(60, 110, (side, side, 3)).astype(np.uint8)
    image[disc], image[square] = (220, 30, 30), (30, 220, 30)
    return image, np.stack([disc, square]), np.array([0, 1])


@pytest.fixture(scope="session")
def scenes():
    """Four scenes of `scene`."""
    return [scene(seed) for seed in range(4)]


@pytest.fixture(scope="session")
def others():
    """Four more."""
    return [scene(seed) for seed in range(90, 94)]
