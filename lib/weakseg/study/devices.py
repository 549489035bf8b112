"""Graphics cards as a bill knows them: what their matrix units can do at most, and what of it the study reached."""

import json
from dataclasses import dataclass

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


def measured_share(wanted: Card) -> float | None:
    """Share of the card's peak that the bench notebook saw on it in a training step of the tag classifier."""
    for folder in (places.outputs(), places.root() / "outputs" / "published"):
        for file in sorted(folder.glob("*/bench/steps.json")):
            for step in json.loads(file.read_text(encoding="utf-8")):
                if wanted.name in step["device"] and step["stage"].endswith("train_classifier"):
                    return step["flops_a_second"] / wanted.peak(step["precision"])
    return None
