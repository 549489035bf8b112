"""Graphics cards as a bill knows them: what their matrix units can do at most, and what of it the study reached."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from weakseg.study import places

ASSUMED_SHARE = 0.08
"""Share of a card's peak where nothing was measured: convolutions wait for memory most of the time."""


@dataclass(frozen=True)
class Card:
    """name: as the driver says; peaks in operations a second, dense: bf16, and fp32 by TF32; memory in GB."""

    name: str
    bf16: float
    tf32: float
    memory: float

    def peak(self, precision: str) -> float:
        """Operations a second at "bf16" or "fp32"."""
        return self.bf16 if precision == "bf16" else self.tf32


CARDS = {
    "h200": Card("NVIDIA H200", 989e12, 494e12, 141),
    "h100": Card("NVIDIA H100", 989e12, 494e12, 80),
    "a100": Card("NVIDIA A100", 312e12, 156e12, 80),
    "l4": Card("NVIDIA L4", 121e12, 60e12, 24),
}


def card(name: str) -> Card:
    """A card by its short name. Raises ValueError with the names there are."""
    if name.lower() not in CARDS:
        raise ValueError(f"GPU={name}: no such card; known are {', '.join(CARDS)}, and cpu")
    return CARDS[name.lower()]


@dataclass(frozen=True)
class Pace:
    """Seconds that a card took for a training step or, of other stages, for a picture; the operations of that."""

    seconds: float
    flops: float

    def of(self, flops: float, rate: float) -> float:
        """Seconds of a step of so many operations: what is more goes at `rate` (operations a second) of a full card.

        One of fewer takes as long as the measured one: a small network waits for its operations to start.
        """
        return self.seconds + max(0.0, flops - self.flops) / rate


def measured_share(wanted: Card) -> float | None:
    """Share of the card's peak that the bench notebook saw in a training step of the tag classifier."""
    seen = (step for step in _seen(wanted) if step["stage"].endswith("train_classifier"))
    return next((step["flops_a_second"] / wanted.peak(step["precision"]) for step in seen), None)


def paces(wanted: Card) -> dict[str, Pace]:
    """Stage -> its pace on this card, of the stages that the bench notebook measured."""
    found = {}
    for step in _seen(wanted):
        if step["planned"]:
            units = 1 if ".train_" in step["stage"] else step["pictures"]
            found.setdefault(step["stage"], Pace(sum(step["seconds"].values()) / units, step["planned"]))
    return found


def measured_on(wanted: Card) -> Card | None:
    """The card whose measured steps a bill of `wanted` rests on: itself, else another one; None where there is none."""
    seen = {one["device"] for one in _steps()}
    return next((card for card in (wanted, *CARDS.values()) if any(card.name in name for name in seen)), None)


def _seen(wanted: Card) -> Iterator[dict[str, Any]]:
    """Steps measured on this card or, by the ratio of their peaks, on another one."""
    card = measured_on(wanted)
    for one in _steps() if card else ():
        if card.name in one["device"]:
            slower = card.peak(one["precision"]) / wanted.peak(one["precision"])
            seconds = {part: value * slower for part, value in one["seconds"].items()}
            yield one | {"seconds": seconds, "flops_a_second": one["flops_a_second"] / slower}


def _steps() -> Iterator[dict[str, Any]]:
    """All that the bench notebook measured, in this clone first."""
    for folder in (places.outputs(), places.root() / "outputs" / "published"):
        for file in sorted(folder.glob("*/bench/steps.json")):
            yield from json.loads(file.read_text(encoding="utf-8"))
