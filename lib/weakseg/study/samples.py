"""The order of samples in a training: a function of (seed, epoch) alone, so any step can be the first one."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from weakseg.study import machine

PREFETCHED = 2  # batches that each loading process keeps ready


@dataclass(frozen=True)
class Order:
    """Which samples every step sees: `steps` batches of `batch` out of `size` samples, reshuffled every epoch."""

    size: int
    batch: int
    steps: int
    seed: int

    @property
    def per_epoch(self) -> int:
        """Steps in an epoch; what does not fill a batch is dropped."""
        return self.size // self.batch

    def ends_epoch(self, step: int) -> bool:
        """Whether `step` steps are whole epochs, or all there are."""
        return step % self.per_epoch == 0 or step == self.steps

    def samples(self, start: int) -> Iterator[list[tuple[int, int]]]:
        """This process's share, (index, draw) each, of every batch from step `start` on."""
        for step in range(start, self.steps):
            epoch, place = divmod(step, self.per_epoch)
            if step == start or place == 0:
                order = np.random.default_rng((self.seed, epoch)).permutation(self.size)
            chosen = order[place * self.batch : (place + 1) * self.batch][machine.rank() :: machine.world()]
            yield [(int(index), draw_of(self.seed, epoch, int(index))) for index in chosen]


def order_of(size: int, batch_size: int, epochs: int | None, steps: int | None, seed: int) -> Order:
    """The order for `epochs` or `steps`. Raises ValueError for settings that cannot be trained with."""
    if size < 1 or batch_size < 1:
        raise ValueError(f"training: needs pictures and a batch size of 1 or more (got {size} and {batch_size})")
    if (epochs is None) == (steps is None) or (steps if epochs is None else epochs) < 1:
        raise ValueError(f"training: give epochs or steps, one of the two (got epochs={epochs}, steps={steps})")
    batch = min(batch_size, size)
    if batch % machine.world():
        raise ValueError(f"training: a batch of {batch} is not shared evenly by {machine.world()} processes; change it")
    return Order(size, batch, steps if steps is not None else epochs * (size // batch), seed)


def draw_of(seed: int, epoch: int, index: int) -> int:
    """The augmentation seed of one sample in one epoch."""
    return int(np.random.SeedSequence((seed, epoch, index)).generate_state(1, np.uint64)[0])


class _From:
    """An order from one step on, in the form that DataLoader takes as a batch sampler."""

    def __init__(self, order: Order, start: int) -> None:
        self.order, self.start = order, start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return self.order.samples(self.start)

    def __len__(self) -> int:
        return self.order.steps - self.start


def batches(
    dataset: Any, order: Order, start: int, collate: Callable | None, workers: int | None, device: torch.device
) -> Iterator[tuple[list[str], Any]]:
    """(names, tensors on the device) of every batch from step `start`; its workers live as long as the training.

    workers: processes that load, see `loading`. They change no sample.
    """
    workers = loading(workers, device)
    loader = DataLoader(
        dataset,
        batch_sampler=_From(order, start),
        collate_fn=collate or default_collate,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        prefetch_factor=PREFETCHED if workers else None,
        # Sets hold functions, which only a fork passes on; the workers never touch the GPU.
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
        worker_init_fn=machine.quiet_opencv,
        # A generator of its own: the loader draws from it at every start, and a resumed run must not notice.
        generator=torch.Generator().manual_seed(order.seed),
    )
    with machine.quiet_fork():
        stream = iter(loader)
    for batch in stream:
        if "name" not in batch:
            raise ValueError(f"training: {type(dataset).__name__} must give each sample's 'name' (got {sorted(batch)})")
        names = [str(name) for name in batch.pop("name")]
        yield names, to_device(batch, device)


def loading(workers: int | None, device: torch.device) -> int:
    """As many as asked for; None: none beside a network on the CPU, which needs the cores itself, else what is free."""
    if workers is None:
        return machine.loaders() if device.type == "cuda" else 0
    return workers


def to_device(value: Any, device: torch.device) -> Any:
    """Nested tensors on the device; maps (B, C, H, W) channels-last on a GPU, as its convolutions want them.

    Pictures may come as bytes, uint8 (B, 3, H, W), a quarter of the way's traffic; they become float32 in [0, 1].
    """
    if isinstance(value, Tensor):
        layout = torch.channels_last if device.type == "cuda" and value.ndim == 4 else torch.preserve_format
        value = value.to(device, non_blocking=True, memory_format=layout)
        pictures = value.dtype == torch.uint8 and value.ndim == 4 and value.shape[1] == 3
        return value.float() / 255 if pictures else value
    if isinstance(value, dict):
        return {name: to_device(item, device) for name, item in value.items()}
    return [to_device(item, device) for item in value] if isinstance(value, list | tuple) else value
