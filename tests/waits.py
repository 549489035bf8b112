"""Where a training step would wait for a GPU, seen on any machine.

A GPU works behind Python's back. What reads a value, chooses by a mask, or carries a list of numbers over stops until
all work before it is done, and nothing is queued meanwhile.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

import weakseg

HOME = Path(weakseg.__file__).parent
READ = "__array__ __bool__ __float__ __index__ __int__ cpu equal is_nonzero item nonzero numpy tolist unique".split()
READ += ["argwhere", "bincount", "masked_select"]
READS = {getattr(home, name) for home in (Tensor, torch) for name in READ if hasattr(home, name)}
CARRIES = {torch.tensor, torch.as_tensor, torch.from_numpy, Tensor.new_tensor}
CHOOSES = {Tensor.__getitem__, Tensor.__setitem__}
REPEATS = {torch.repeat_interleave, Tensor.repeat_interleave}


def would_wait(function: Callable, args: tuple, kwargs: dict) -> bool:
    """Whether this call of torch, on a GPU, cannot end before everything that was queued."""
    if function in CHOOSES:
        chosen = args[1] if isinstance(args[1], tuple) else (args[1],)
        return any(isinstance(one, list) or (isinstance(one, Tensor) and one.dtype == torch.bool) for one in chosen)
    if function in REPEATS:
        return len(args) > 1 and isinstance(args[1], Tensor) and "output_size" not in kwargs
    return function in READS | CARRIES or (function is torch.where and len(args) == 1)


class Waits(TorchFunctionMode):
    """Notes the functions of weakseg below which a step would wait, from a training's second step on: the first may
    carry what is then kept.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.begun = self.on = False

    def __torch_function__(self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if would_wait(function, args, kwargs or {}):
            self.found.add(_caller())
        return function(*args, **(kwargs or {}))

    def watching(self, loss_of: Callable, optimiser: torch.optim.Optimizer) -> Callable:
        """`loss_of`, from whose beginning to the end of the optimiser's step everything is noted."""

        def watched(model: torch.nn.Module, batch: dict) -> dict[str, Tensor]:
            if self.begun:
                self.__enter__()
                self.on = True
            self.begun = True
            return loss_of(model, batch)

        optimiser.register_step_post_hook(lambda *_: self.stop())
        return watched

    def stop(self) -> None:
        """Notes nothing until the next step."""
        if self.on:
            self.on = False
            self.__exit__(None, None, None)


def _caller() -> str:
    """The innermost function of weakseg that is running, as "nets/deeplab.py: label_loss"."""
    frame = sys._getframe(2)
    while frame and (HOME not in Path(frame.f_code.co_filename).parents or frame.f_code.co_name.startswith("<")):
        frame = frame.f_back
    file = frame and Path(frame.f_code.co_filename).relative_to(HOME).as_posix()
    return f"{file}: {frame.f_code.co_name}" if frame else "elsewhere"
