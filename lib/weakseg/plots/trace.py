"""Read a network's plan off the network itself: run it once and note which part fed which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class Block:
    """One part: its path in the network, what it is made of, its output's channels and stride, its weights."""

    name: str
    kind: str
    channels: int
    stride: int
    parameters: int
    trained: bool


@dataclass(frozen=True)
class Plan:
    """The parts in the order in which they ran, and the edges (from, to) along which tensors went between them."""

    blocks: tuple[Block, ...]
    edges: tuple[tuple[int, int], ...]


class _Provenance(TorchFunctionMode):
    """Follows tensors through every torch function between two parts (upsampling, concatenation, addition)."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: dict[int, frozenset[int]] = {}
        self.kept: list[torch.Tensor] = []  # alive until the end, so that no id is used twice

    def of(self, thing: Any) -> frozenset[int]:
        return frozenset().union(*(self.sources.get(id(t), frozenset()) for t in _tensors(thing)))

    def mark(self, thing: Any, sources: frozenset[int]) -> None:
        for tensor in _tensors(thing):
            self.sources[id(tensor)] = sources
            self.kept.append(tensor)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.mark(result, self.of(args) | self.of(kwargs))
        return result


def read_plan(model: nn.Module, parts: Sequence[str], picture: torch.Tensor) -> Plan:
    """Run `picture` (1, 3, H, W) through the model in inference mode and report the named parts and how they are wired.

    Raises ValueError naming a part that the model has not, or that the picture did not pass.
    """
    modules = dict(model.named_modules())
    if missing := [part for part in parts if part not in modules]:
        raise ValueError(f"the network has no part '{missing[0]}'; it has {', '.join(k for k in modules if k)}")
    follow, blocks, edges = _Provenance(), [], set()
    hooks = [_watch(modules[part], part, picture.shape[-1], follow, blocks, edges) for part in parts]
    training = model.training
    try:
        with torch.no_grad(), follow:
            model.eval()(picture)
    finally:
        model.train(training)
        for handle in hooks:
            handle.remove()
    if missing := set(parts) - {block.name for block in blocks}:
        raise ValueError(f"the picture did not pass '{sorted(missing)[0]}': leave it out, or call it in forward")
    return Plan(tuple(blocks), tuple(sorted(edges)))


def _watch(
    module: nn.Module, name: str, width: int, follow: _Provenance, blocks: list[Block], edges: set[tuple[int, int]]
) -> torch.utils.hooks.RemovableHandle:
    def note(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        number = len(blocks)
        edges.update((source, number) for source in follow.of(inputs))
        follow.mark(output, frozenset({number}))
        weights = list(module.parameters())
        size, trained = sum(p.numel() for p in weights), any(p.requires_grad for p in weights)
        blocks.append(Block(name, describe(module), output.shape[1], round(width / output.shape[-1]), size, trained))

    return module.register_forward_hook(note)


def _tensors(thing: Any) -> Iterator[torch.Tensor]:
    if isinstance(thing, torch.Tensor):
        yield thing
    elif isinstance(thing, (list, tuple)):
        for item in thing:
            yield from _tensors(item)
    elif isinstance(thing, dict):
        yield from _tensors(list(thing.values()))


def describe(module: nn.Module, inside: bool = False) -> str:
    """A part in a few words: its layers ("3x3 conv /2, BN, ReLU"), or the name of its kind where layers are too many.

    `inside` a sequence, a part that is no plain layer is only named ("6 Bottleneck").
    """
    match module:
        case nn.Conv2d():
            return f"{module.kernel_size[0]}x{module.kernel_size[1]} conv" + f" /{module.stride[0]}" * (
                module.stride[0] > 1
            )
        case nn.GroupNorm():
            return f"GN({module.num_groups})"
        case nn.BatchNorm2d():
            return "BN"
        case nn.MaxPool2d():
            return "max pool"
        case nn.Upsample():
            return f"up x{module.scale_factor:g}" if module.scale_factor else "up"
        case nn.Identity():
            return ""
    children = list(module.children())
    leaves = not any(list(child.children()) for child in children)
    if children and (isinstance(module, nn.Sequential) or (leaves and not inside)):
        runs = [(word, len(list(run))) for word, run in groupby(describe(child, inside=True) for child in children)]
        return ", ".join(word if count == 1 else f"{count} {word}" for word, count in runs if word)
    return type(module).__name__
