"""Learning rate schedules: progress in [0, 1) -> factor on a group's initial learning rate."""

from collections.abc import Callable, Sequence
from math import cos, pi

Schedule = Callable[[float], float]


def poly(power: float) -> Schedule:
    """(1 - progress)^power, DeepLab's "poly" policy."""
    return lambda progress: (1 - progress) ** power


def constant() -> Schedule:
    """1 throughout."""
    return lambda progress: 1.0


def one_cycle(peak_at: float = 0.3) -> Schedule:
    """Half a cosine up from 1/25 to 1 at `peak_at`, then half a cosine down to almost 0 (Smith & Topin, 1708.07120)."""

    def factor(progress: float) -> float:
        rising = progress < peak_at
        low, distance = (0.04, 1 - progress / peak_at) if rising else (4e-6, (progress - peak_at) / (1 - peak_at))
        return low + (1 - low) * (1 + cos(pi * distance)) / 2

    return factor


def steps_down(drops: Sequence[tuple[float, float]]) -> Schedule:
    """1, then the factor of the last (progress, factor) passed: ``steps_down([(2 / 3, 0.1), (8 / 9, 0.01)])``."""
    return lambda progress: next((factor for start, factor in sorted(drops, reverse=True) if progress >= start), 1.0)
