"""What a training leaves on disk: its log, checkpoints to go on from, and the finished weights."""

import dataclasses
import io
import os
from pathlib import Path
from typing import Any

import pandas as pd
import safetensors.torch
import torch
import torch.distributed as dist
from torch import Tensor, nn

from weakseg.study import machine
from weakseg.study.samples import Order


class Log:
    """Losses of the steps, kept on the device until `flush` looks at them: one wait per flush, none per step."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.rows: list[dict[str, float]] = []
        self.pending: list[tuple[list[str], Tensor]] = []  # since the last flush: (names of the batch, its values)
        self.columns: list[str] = []

    def note(self, names: list[str], losses: dict[str, Tensor], gradient_norm: Tensor) -> None:
        """Keeps one step's values for the next flush."""
        values = {**losses, "gradient_norm": gradient_norm}
        self.columns = list(values)
        self.pending.append((names, torch.stack([value.detach().float().reshape(()) for value in values.values()])))

    def flush(self, step: int, lr: float) -> str:
        """Adds a row of means over the steps since the last one; returns a note for the progress bar.

        Raises FloatingPointError naming the pictures of the first batch whose loss or gradient is not finite.
        """
        values = torch.stack([values for _, values in self.pending])  # (steps, columns)
        if machine.world() > 1:
            dist.all_reduce(values)
            values = values / machine.world()
        values = values.cpu().double()
        watched = values[:, [self.columns.index("loss"), self.columns.index("gradient_norm")]]
        broken = (~watched.isfinite().all(1)).nonzero().flatten().tolist()
        if broken:
            self._stop(step - len(values) + broken[0] + 1, self.pending[broken[0]][0], watched[broken[0]].tolist())
        means = dict(zip(self.columns, values.mean(0).tolist(), strict=True))
        self.rows.append({"step": step, "epoch": (step - 1) // self.order.per_epoch, "lr": lr, **means})
        self.pending.clear()
        return f"loss {means['loss']:.4g}"

    def _stop(self, step: int, names: list[str], values: list[float]) -> None:
        everywhere: list[list[str]] = [names] * machine.world()
        if machine.world() > 1:
            dist.all_gather_object(everywhere, names)
        pictures = ", ".join(name for share in everywhere for name in share)
        raise FloatingPointError(
            f"training: loss {values[0]:g}, gradient norm {values[1]:g} at step {step} with pictures {pictures};"
            " look at these pictures, or lower the learning rate, or clip"
        )

    def write(self, file: Path) -> pd.DataFrame:
        """The log as csv (by the first process only) and as a table."""
        table = pd.DataFrame(self.rows)
        if machine.rank() == 0:
            temporary = file.with_name(f".{file.name}.tmp")
            table.to_csv(temporary, index=False)
            os.replace(temporary, file)
        return table


def save(file: Path, model: nn.Module, optimiser: torch.optim.Optimizer, log: Log, step: int) -> None:
    """Writes a checkpoint (the first process, with the random state of all), under its name once it is complete."""
    random = [_random_state(model)] * machine.world()
    if machine.world() > 1:
        dist.all_gather_object(random, _random_state(model))
    if machine.rank() > 0:
        return
    state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "random": random, "step": step}
    temporary = file.with_name(f".{file.name}.tmp")
    with open(temporary, "wb") as stream:
        torch.save({**state, "log": log.rows, "order": dataclasses.asdict(log.order)}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, file)
    log.write(file.with_name("log.csv"))


def resume(file: Path, model: nn.Module, optimiser: torch.optim.Optimizer, log: Log) -> int:
    """Goes back to a checkpoint, where there is one; returns its step, else 0. Raises ValueError for another run's."""
    state = _read(file)
    if state is None:
        return 0
    if state["order"] != dataclasses.asdict(log.order) or len(state["random"]) != machine.world():
        raise ValueError(f"{file}: is of another training (batch, steps, seed, processes); delete it to start anew")
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    log.rows = state["log"]
    random = state["random"][machine.rank()]
    torch.set_rng_state(random["cpu"])
    if "cuda" in random:
        torch.cuda.set_rng_state(random["cuda"])
    return state["step"]


def _read(file: Path) -> dict[str, Any] | None:
    """The checkpoint as the first process finds it: the others need not see its disk."""
    found = machine.from_first(file.read_bytes() if machine.rank() == 0 and file.is_file() else None)
    return torch.load(io.BytesIO(found), map_location="cpu", weights_only=True) if found else None


def _random_state(model: nn.Module) -> dict[str, Tensor]:
    on_gpu = any(parameter.is_cuda for parameter in model.parameters())
    return {"cpu": torch.get_rng_state(), **({"cuda": torch.cuda.get_rng_state()} if on_gpu else {})}


# ---------------------------------------------------------------- finished weights


def save_model(model: nn.Module, path: Path) -> None:
    """Writes the model's tensors as safetensors, under the final name only once complete.

    A tensor that the model holds twice is written once, under its first name. Safetensors' own way notes the others, in
    another order every time, so the same weights would not be the same bytes.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    state = model.state_dict()
    once = {name for name, _ in (*model.named_parameters(), *model.named_buffers())}
    safetensors.torch.save_file({k: v.contiguous() for k, v in state.items() if k in once}, str(temporary))
    os.replace(temporary, path)


def load_model(model: nn.Module, path: Path) -> nn.Module:
    """Fills `model` from a safetensors file, strictly; returns it. Raises FileNotFoundError, ValueError."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such weights file")
    try:
        safetensors.torch.load_model(model, str(path))
    except (RuntimeError, safetensors.SafetensorError) as error:
        why = " ".join(str(error).split())[:300]
        raise ValueError(f"{path}: not the weights of this {type(model).__name__}: {why}") from None
    return model
