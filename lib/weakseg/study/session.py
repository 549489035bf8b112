"""What a notebook talks to: validated parameters, the stage store, and where its tables, figures and notes go."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from weakseg import papers as papers_package
from weakseg.plots.style import light_pictures, save
from weakseg.study import places
from weakseg.study.params import Group, load
from weakseg.study.render import Shown, shown
from weakseg.study.reported import known, reported_table
from weakseg.study.stages import Store
from weakseg.study.tables import Measured, Reasons, write_table


def params_model(paper: str) -> type[Group]:
    """The params class `weakseg.papers.<paper>.params.PARAMS`; ValueError with the nearest id when there is none."""
    if find_spec(f"weakseg.papers.{paper}") is None:
        there = sorted(p.parent.name for folder in papers_package.__path__ for p in Path(folder).glob("*/params.py"))
        known(paper, there, "paper")
    return import_module(f"weakseg.papers.{paper}.params").PARAMS


@dataclass(frozen=True)
class Session:
    """One notebook's view of one run of one paper at one profile."""

    paper: str
    params: Group
    store: Store
    folder: Path

    @classmethod
    def open(cls, paper: str, namespace: Mapping[str, Any]) -> "Session":
        """Open the run described by a notebook's variables (pass `globals()`).

        Variables named like a parameter group (`data`, `classifier`, ...) replace that group of
        params/<profile>/<paper>.yaml; None, or no such variable, leaves the file's. So a notebook opened by hand and
        one executed with the whole file injected run the same.

        Raises ValueError or FileNotFoundError in one line, before any work.
        """
        model = params_model(paper)
        profile = namespace.get("profile") or "demo"
        given = {name: namespace[name] for name in model.model_fields if namespace.get(name) is not None}
        params = load(model, places.params_file(profile, paper), given)
        light_pictures()
        home = places.outputs() / params.profile
        return cls(paper, params, Store(home / "runs"), home / paper)

    @property
    def profile(self) -> str:
        return self.params.profile

    def changed(self, **groups: Mapping[str, Any]) -> "Session":
        """The same run with some parameters changed, for an ablation: changed(walk={"beta": 4}).

        ValueError with the nearest name for an unknown group or key, and for a value that the group refuses.
        """
        parts = {}
        for name, update in groups.items():
            known(name, list(type(self.params).model_fields), "parameter group")
            group = getattr(self.params, name)
            for key in update:
                known(key, list(type(group).model_fields), f"{name}: key")
            parts[name] = type(group).model_validate({**dict(group), **update})
        return replace(self, params=self.params.model_copy(update=parts))

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.params.seeds

    def table(self, table: str, measured: Sequence[Measured], reasons: Reasons | None = None) -> Shown:
        """Write one table (csv, seeds, evidence, html, tex) and return it for display.

        `measured`: values in percent; `reasons`: row, column or (row, column) -> why it was not run.
        ValueError for an unknown table, row or column (with the nearest), a value that is no percentage, and a reported
        cell with neither value nor reason.
        """
        spec = reported_table(self.paper, table)
        long = write_table(self.folder / "tables", table, spec, measured, reasons or {}, self.folder.parent / "runs")
        inputs = sorted({m.evidence.key for m in measured if m.evidence is not None})
        self._describe("tables", table, title=spec.title, inputs=inputs)
        return shown(spec, long, table)

    def figure(self, figure: str, fig: Figure, title: str) -> Figure:
        """Save a figure as figures/<id>.png (200 dpi) and .pdf, with its title in <id>.json; returns it for display."""
        _check_id("figures", figure)
        save(fig, self.folder / "figures", figure, title)
        self._describe("figures", figure, title=title)
        return fig

    def note(self, key: str, value: Any) -> None:
        """Keep one fact that belongs to no table (a count, a threshold) as notes/<key>.json; the report lists it."""
        self._describe("notes", key, value=value)

    def _describe(self, kind: str, name: str, **facts: Any) -> None:
        _check_id(kind, name)
        facts = {**facts, "notebook": os.environ.get("WEAKSEG_NOTEBOOK", "")}
        places.write_text(
            self.folder / kind / f"{name}.json", json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        )


def _check_id(kind: str, name: str) -> None:
    if not re.fullmatch(r"\w[\w-]*", name, re.ASCII):
        raise ValueError(f"'{name}' cannot be an id in {kind}/; use letters, digits, '_' and '-'")
