"""Where a paper's results come from: when, on what kind of machine and in which precision they were computed."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from weakseg.study.params import flat

Record = dict[str, Any]


@dataclass(frozen=True)
class Origin:
    """Days and kinds of machine of a paper's notebooks and of the stages behind its tables ("" where not recorded).

    precision: what its networks computed in, "bf16", "fp32" or both; "" where no stage has one.
    """

    notebooks: str
    stages: str
    precision: str


def origin(notebooks: Iterable[Record], stages: Iterable[Record]) -> Origin:
    """From records of notebooks that ran, and of the stages that serve the paper."""
    stages = list(stages)
    precisions = sorted({found for stage in stages if (found := precision(stage))})
    return Origin(_where(notebooks, "began"), _where(stages, "made"), " and ".join(precisions))


def precision(stage: Record) -> str | None:
    """What a stage's network computed in; None for a stage whose params name no precision."""
    asked = {value for name, value in flat(stage.get("params", {})) if name.rpartition(".")[2] == "precision"}
    if "bf16" not in asked:
        return "fp32" if asked else None
    # Where a record does not tell, it is of a time when bf16 was computed everywhere, emulated if it had to be.
    return stage.get("machine", {}).get("computes", "bf16")


def kind(machine: Record) -> str:
    """A machine without its name: 'AMD EPYC, 2 cores, no GPU'."""
    cores = f"{machine['cores']} core{'' if machine['cores'] == 1 else 's'}"
    return f"{machine['cpu']}, {cores}, {machine.get('gpu') or 'no GPU'}"


def computed_again(stages: Sequence[Record]) -> int:
    """How many stages were computed in more than one run, for different papers."""
    return sum(count > 1 for count in Counter(stage["key"] for stage in stages).values())


def _where(records: Iterable[Record], when: str) -> str:
    """'2026-11-25 to 2026-11-26 on AMD EPYC, 1 core, no GPU'."""
    records = list(records)
    days = sorted({record[when][:10] for record in records if when in record})
    machines = sorted({kind(record["machine"]) for record in records if "cores" in record.get("machine", {})})
    return " on ".join(part for part in (" to ".join(dict.fromkeys(days[:1] + days[-1:])), "; ".join(machines)) if part)
