"""Small stages for the engine's tests: imported by name, in this process and in those that a test kills."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from weakseg.study import machine, train
from weakseg.study.params import Group
from weakseg.study.stages import Artifact


def fork(work: Callable[[], object], said: Path, **environment: str) -> int:
    """Starts `work` in a process (group) of its own that prints into the file `said`; returns its id."""
    if (child := os.fork()) > 0:
        return child
    code = 1
    try:
        os.setsid()
        os.environ.update({"OMP_NUM_THREADS": "1"} | environment)
        sys.stdout = sys.stderr = open(said, "w", buffering=1, encoding="utf-8")
        print(work())
        code = 0
    finally:
        os._exit(code)


class Classifier(Group):
    lr: float = 0.05
    epochs: int = 6
    steps: tuple[int, ...] = ()

    def shout(self) -> str:
        return loud(str(self.lr))


def loud(text: str) -> str:
    return text.upper()


def draw(out: Path, *, seed: int) -> None:
    (out / "number.txt").write_text(str(seed))


def double(out: Path, *, number: Artifact, factor: int = 2) -> None:
    (out / "number.txt").write_text(str(factor * int((number / "number.txt").read_text())))


def total(out: Path, *, numbers: dict[str, Artifact], classifier: Classifier) -> None:
    values = [int((one / "number.txt").read_text()) for one in numbers.values()]
    (out / "number.txt").write_text(f"{sum(values)} {classifier.lr}")


def slow(out: Path, *, seconds: float, journal: str) -> None:
    """Says in a journal that it began and ended; writes one file at once and one at the end."""
    _say(journal, "began")
    (out / "half.txt").write_text(f"half written by {os.getpid()}")
    (out / "checkpoint.txt").write_text("kept")
    time.sleep(seconds if not (out / "checkpoint.again").exists() else 0)
    (out / "whole.txt").write_text("whole")
    (out / "checkpoint.txt").unlink()
    _say(journal, "ended")


def crowd(out: Path, *, journal: str) -> None:
    """Holds workers of its own while it computes."""
    machine.parallel(_nap, range(40), "napping")
    _say(journal, f"ended {os.getpid()}")


def _nap(number: int) -> int:
    time.sleep(0.05)
    return number


def _say(journal: str, word: str) -> None:
    with open(journal, "a", encoding="utf-8") as file:
        file.write(f"{word}\n")


def full_disk(out: Path, *, how: str) -> None:
    if how == "errno":
        raise OSError(28, "No space left on device", str(out / "a.npz"))
    if how == "safetensors":
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    raise OSError(5, "Input/output error")


class Points:
    """Noisy points of two classes; the noise comes from the draw."""

    def __init__(self, size: int = 53, pause: float = 0.0) -> None:
        self.size, self.pause = size, pause

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: tuple[int, int]) -> dict:
        index, drawn = key
        time.sleep(self.pause)
        noise = np.random.default_rng(drawn).normal(size=4).astype(np.float32)
        label = index % 2
        return {"x": torch.from_numpy(noise + label), "y": torch.tensor(float(label)), "name": f"point{index}"}


def network(dropout: float = 0.2, norm: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    middle = nn.BatchNorm1d(16) if norm else nn.Identity()
    return nn.Sequential(nn.Linear(4, 16), middle, nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 1))


def loss_of(model: nn.Module, batch: dict) -> dict[str, torch.Tensor]:
    logits = model(batch["x"])[:, 0]
    loss = nn.functional.binary_cross_entropy_with_logits(logits, batch["y"])
    return {"loss": loss, "accuracy": ((logits > 0) == (batch["y"] > 0.5)).float().mean()}


def train_points(out: Path, *, classifier: Classifier, seed: int, pause: float = 0.0, workers: int = 0) -> None:
    model = network()
    optimiser = torch.optim.AdamW(model.parameters(), classifier.lr)
    settings = {"batch_size": 8, "log_every": 3, "checkpoint_seconds": 0.0, "clip": 1.0, "workers": workers}
    train.fit(model, Points(pause=pause), loss_of, optimiser, out=out, seed=seed, epochs=classifier.epochs, **settings)
    train.save_model(model, out / "model.safetensors")


def train_shared(out: Path, *, seed: int) -> None:
    """Without dropout and batch norm: what several processes must repeat."""
    model = network(dropout=0.0, norm=False)
    optimiser = torch.optim.SGD(model.parameters(), 0.2, momentum=0.9, weight_decay=1e-3)
    train.fit(model, Points(), loss_of, optimiser, out=out, seed=seed, epochs=4, batch_size=8, log_every=3, clip=0.5)
    train.save_model(model, out / "model.safetensors")


class Heads(nn.Module):
    """Two heads on one layer. A step trains one of them: the second in every third step, from the third on."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.first, self.second, self.steps = nn.Linear(4, 4), nn.Linear(4, 1), nn.Linear(4, 1), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += 1
        return (self.first if self.steps % 3 else self.second)(self.shared(x))


def train_heads(out: Path, *, seed: int) -> None:
    """What several processes must repeat too: weights that have no gradient in some steps."""
    torch.manual_seed(0)
    model = Heads()
    optimiser = torch.optim.SGD(model.parameters(), 0.2, momentum=0.9, weight_decay=1e-2)
    train.fit(model, Points(), loss_of, optimiser, out=out, seed=seed, epochs=4, batch_size=8, log_every=1)
    train.save_model(model, out / "model.safetensors")
