"""Facts that notebooks note on the way (`Session.note`), as small tables of rounded numbers for the report."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Note:
    """One note: names of the columns (none where each row has one value), and rows of a name and its cells."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def note(name: str, value: Any) -> Note:
    """A note from its id and value: one fact, a dict of facts, or a dict of such dicts, whose keys are the columns."""
    title = name.replace("_", " ")
    if not isinstance(value, dict):
        return Note(title, (), (("", tuple(column([value]))),))
    table = bool(value) and all(isinstance(row, dict) for row in value.values())
    columns = list(dict.fromkeys(key for row in value.values() for key in row)) if table else [""]
    found = [column([row.get(key) if table else row for row in value.values()]) for key in columns]
    rows = tuple((row, tuple(cells)) for row, cells in zip(value, zip(*found, strict=True), strict=True))
    return Note(title, tuple(columns) if table else (), rows)


def column(values: Sequence[Any]) -> list[str]:
    """Values of one kind as people read them: fractions rounded alike, dash for nothing."""
    digits = _digits([value for value in values if isinstance(value, float)])
    return [_word(value, digits) for value in values]


def _digits(values: Sequence[float]) -> int:
    """Decimals of a column: 1 from ten on, 2 from one on, else 3; no more than its values have, and at least 1."""
    largest = max((abs(value) for value in values), default=0.0)
    most = 1 if largest >= 10 else 2 if largest >= 1 else 3
    return max([1, *(len(f"{value:.{most}f}".rstrip("0").partition(".")[2]) for value in values)])


def _word(value: Any, digits: int) -> str:
    if value is None or value != value:  # nothing, or nan
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return (f"{value:,.{digits}f}" if isinstance(value, float) else f"{value:,}").replace("-", "−")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
