"""Pooling of regions by torchvision's own kernel.

Where torch is asked for operations that repeat themselves (`study.train` asks on a GPU), torchvision pools by plain
indexing instead, which takes tens of gigabytes for a batch of pictures with their proposals. Its kernel repeats itself
forwards; backwards it adds in the order in which threads arrive, so a GPU repeats detectors up to rounding only.
"""

import contextlib
from collections.abc import Iterator

import torch
import torchvision.ops
from torch import Tensor


@contextlib.contextmanager
def _own_kernel() -> Iterator[None]:
    wanted, warn = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(wanted, warn_only=warn)


def roi_align(*given, **how) -> Tensor:
    """torchvision.ops.roi_align."""
    with _own_kernel():
        return torchvision.ops.roi_align(*given, **how)


class MultiScaleRoIAlign(torchvision.ops.MultiScaleRoIAlign):
    """torchvision.ops.MultiScaleRoIAlign."""

    def forward(self, *given, **how) -> Tensor:
        """As torchvision's."""
        with _own_kernel():
            return super().forward(*given, **how)
