"""Training: one plain torch loop that can be killed at any moment and, started again, ends with the same bytes.

All randomness of the data comes from (seed, epoch, index); a checkpoint holds model, optimiser, step, torch's random
state and the log. The same code runs on the CPU, one GPU, or several processes started by torchrun.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import torch.distributed as dist
from torch import Tensor, nn

from weakseg.study import checkpoint, machine
from weakseg.study.checkpoint import load_model, save_model
from weakseg.study.samples import batches, order_of
from weakseg.study.schedules import Schedule, constant, one_cycle, poly, steps_down

__all__ = ["constant", "fit", "load_model", "one_cycle", "poly", "save_model", "steps_down"]


def fit(
    model: nn.Module,
    dataset: Any,
    loss_of: Callable[[nn.Module, Any], dict[str, Tensor]],
    optimiser: torch.optim.Optimizer,
    *,
    out: Path,
    seed: int,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int,
    lr_at: Schedule = poly(0.9),  # noqa: B008 (a pure function)
    precision: str = "fp32",
    collate: Callable[[list], dict] | None = None,
    workers: int | None = None,
    clip: float | None = None,
    title: str = "training",
    log_every: int = 10,
    checkpoint_seconds: float = 20.0,
) -> pd.DataFrame:
    """Trains `model` in place for `epochs` or `steps`; returns the log, written to ``out/log.csv`` too.

    dataset: len() and ``dataset[(index, draw)]`` -> dict of tensors and "name"; `draw` seeds its augmentation.
    loss_of: (model, batch on the device) -> scalars; "loss" is minimised, all are logged (means of `log_every` steps).
    workers: processes that load the samples, see `samples.batches`.
    lr_at: progress in [0, 1) -> factor on each group's initial lr. clip: largest gradient norm. An epoch's incomplete
    last batch is dropped, unless the set is smaller than a batch. Under torchrun each process takes its share of the
    batch and gradients are averaged: the losses of one process up to rounding, if a loss is a mean over samples.
    Raises ValueError for impossible settings, FloatingPointError naming the pictures at a loss that is not finite.
    """
    order = order_of(len(dataset), batch_size, epochs, steps, seed)
    device, log, file = _begin(model, optimiser, seed, precision), checkpoint.Log(order), Path(out) / "checkpoint.pt"
    step = checkpoint.resume(file, model, optimiser, log)
    bar, saved = machine.Progress(order.steps, title, done=step), time.monotonic()
    for names, batch in batches(dataset, order, step, collate, workers, device):
        lr = _set_lr(optimiser, lr_at(step / order.steps))
        with machine.autocast(precision):
            losses = loss_of(model, batch)
        optimiser.zero_grad(set_to_none=True)
        losses["loss"].backward()
        log.note(names, losses, _share_and_clip(optimiser, clip))
        optimiser.step()
        step += 1
        if step % log_every == 0 or order.ends_epoch(step):
            bar.update(step - bar.done, log.flush(step, lr))
            if step < order.steps and _is_due(saved, checkpoint_seconds, order.ends_epoch(step)):
                checkpoint.save(file, model, optimiser, log, step)
                saved = time.monotonic()
    bar.close()
    _from_first(model.eval())
    file.unlink(missing_ok=True)
    return log.write(Path(out) / "log.csv")


def _begin(model: nn.Module, optimiser: torch.optim.Optimizer, seed: int, precision: str) -> torch.device:
    """Seeds torch, moves the model to its device, joins the other processes under torchrun."""
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"training: precision must be 'fp32' or 'bf16' (got {precision!r})")
    device = machine.device()
    if device.type == "cuda":
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # nobody reads it, and filling takes a tenth
    machine.join()
    layout = torch.channels_last if device.type == "cuda" else torch.preserve_format
    model.to(device, memory_format=layout).train()
    _fuse(optimiser)
    torch.manual_seed(seed + machine.rank())
    _from_first(model)
    return device


def _fuse(optimiser: torch.optim.Optimizer) -> None:
    """One pass over all parameters, where torch has that.

    Momentum begins as zeros, which is what it would be: torch's fused SGD fails where a parameter has its first
    gradient in a later step than others (a head for salient pictures, where the first batch holds none).
    """
    for group in optimiser.param_groups:
        group.setdefault("initial_lr", group["lr"])
        if "fused" in group:
            group.update(fused=True, foreach=None)
        for parameter in group["params"] if group.get("momentum") else ():
            if parameter.requires_grad:
                optimiser.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter))


def _set_lr(optimiser: torch.optim.Optimizer, factor: float) -> float:
    """Every group's lr as `factor` times its initial one; returns the first group's."""
    for group in optimiser.param_groups:
        group["lr"] = group["initial_lr"] * factor
    return optimiser.param_groups[0]["lr"]


def _share_and_clip(optimiser: torch.optim.Optimizer, clip: float | None) -> Tensor:
    """Averages gradients over the processes, then clips them; returns their norm before that (nothing waits)."""
    # The optimiser's parameters alone: in others, gradients pile up that nobody uses or clears.
    parameters = [one for group in optimiser.param_groups for one in group["params"] if one.requires_grad]
    if machine.world() > 1:
        _average(parameters)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    if clip is not None:
        torch._foreach_mul_(gradients, (clip / (norm + 1e-6)).clamp(max=1.0))
    return norm


def _average(parameters: list[nn.Parameter]) -> None:
    """Every process's gradients as the mean over all. A parameter that some processes do not use counts as 0 there; one
    that none uses keeps no gradient, as with one process, so that neither decay nor momentum moves it.
    """
    parts = [torch.zeros_like(one) if one.grad is None else one.grad for one in parameters]
    here = [one.grad is not None for one in parameters]
    use = parts[0].new_ones(len(here)) if all(here) else parts[0].new_tensor(here)
    together = torch.cat([*(part.flatten() for part in parts), use]) / machine.world()
    dist.all_reduce(together)
    *shares, use = together.split([*(part.numel() for part in parts), len(here)])
    used = here if all(here) else use.tolist()  # read, which waits for a GPU, only where one is in doubt
    for parameter, share, some in zip(parameters, shares, used, strict=True):
        parameter.grad = share.view_as(parameter) if some else None


def _from_first(model: nn.Module) -> None:
    """Every process takes the first one's parameters and buffers."""
    if machine.world() > 1:
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, 0)


def _is_due(saved: float, interval: float, epoch_ended: bool) -> bool:
    """A checkpoint every `interval` seconds, at an epoch's end after a quarter; the first process's clock counts."""
    return machine.from_first(time.monotonic() - saved >= (interval / 4 if epoch_ended else interval))
