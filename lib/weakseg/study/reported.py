"""What a paper reports: params/reported/<paper>.yaml as typed tables."""

import difflib
from collections.abc import Iterable

from pydantic import model_validator

from weakseg.study.params import Group, load
from weakseg.study.places import root


class Column(Group):
    """One column of numbers; `metric` is its name in weakseg.metrics.resample."""

    metric: str


class Row(Group):
    """One row: the paper's numbers, those of the authors' code, which of the paper's are confirmed from a source."""

    row: str
    about: dict[str, str | None] = {}
    paper: dict[str, float | None] = {}
    official: dict[str, float] = {}
    verified: bool | tuple[str, ...] = False
    ours_only: bool = False
    note: str | None = None

    def is_verified(self, column: str) -> bool:
        return self.verified if isinstance(self.verified, bool) else column in self.verified


class ReportedTable(Group):
    """One table of a paper: columns of numbers, columns of words (`about`), rows, footnotes."""

    title: str
    dataset: str
    columns: dict[str, Column]
    about: tuple[str, ...] = ()
    rows: tuple[Row, ...]
    footnotes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _columns_exist(self) -> "ReportedTable":
        for row in self.rows:
            for name in (*row.paper, *row.official):
                known(name, self.columns, f"row '{row.row}': column")
            for name in row.about:
                known(name, self.about, f"row '{row.row}': about")
        return self

    def row(self, label: str) -> Row:
        known(label, [row.row for row in self.rows], "row")
        return next(row for row in self.rows if row.row == label)


class Reported(Group):
    """All tables of one paper."""

    title: str
    official_code: str | None = None
    tables: dict[str, ReportedTable]


def known(name: str, names: Iterable[str], what: str) -> str:
    """`name` when it is one of `names`, else ValueError with the nearest of them."""
    names = [str(n) for n in names]
    if name in names:
        return name
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.0)
    raise ValueError(f"{what} '{name}' is unknown" + (f"; did you mean '{near[0]}'?" if near else "; there are none"))


def reported(paper: str) -> Reported:
    """params/reported/<paper>.yaml, checked."""
    return load(Reported, root() / "params" / "reported" / f"{paper}.yaml")


def reported_table(paper: str, table: str) -> ReportedTable:
    """One table of it; ValueError with the nearest id when there is no such table."""
    tables = reported(paper).tables
    return tables[known(table, tables, f"params/reported/{paper}.yaml: table")]
