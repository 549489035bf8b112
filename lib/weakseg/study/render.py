"""One house style for tables, in html and LaTeX: paper, official code, ours ± spread; below it protocols and notes."""

from dataclasses import dataclass
from html import escape
from importlib.resources import files

import pandas as pd

from weakseg.study.reported import ReportedTable

VIEWPORT = '<meta name="viewport" content="width=device-width, initial-scale=1">'
SUPERSCRIPTS = "¹²³⁴⁵⁶⁷⁸⁹"
UNVERIFIED = "† quoted from memory of the paper; not confirmed from a source at hand"


@dataclass(frozen=True)
class Shown:
    """A finished table for a notebook cell; `frame` is its long form."""

    html: str
    frame: pd.DataFrame

    def _repr_html_(self) -> str:
        return self.html


def css() -> str:
    """The style sheet of every table."""
    return files("weakseg.study").joinpath("templates/table.css").read_text(encoding="utf-8")


def wide(spec: ReportedTable, long: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table as words, and the css class of each cell: one line per row, columns (metric, source), words last."""
    marks = _row_marks(spec, long)
    rows = {label + marks.get(label, ""): _row(spec, label, cells) for label, cells in long.groupby("row", sort=False)}
    first = next(iter(rows.values()))
    keep = [key for key in first if key[1] != "official code" or any(row[key][0] != "–" for row in rows.values())]
    frames = [
        pd.DataFrame(
            [[row[key][part] for key in keep] for row in rows.values()],
            index=list(rows),
            columns=pd.MultiIndex.from_tuples(keep),
        )
        for part in (0, 1)
    ]
    return frames[0], frames[1]


def _row(spec: ReportedTable, label: str, cells: pd.DataFrame) -> dict[tuple[str, str], tuple[str, str]]:
    """(metric, source) -> (words, css class) of one row."""
    row, found, before = spec.row(label), {}, ""
    for cell in cells.itertuples():
        mark = "" if row.is_verified(cell.column) else "\N{NO-BREAK SPACE}†"
        ours = (
            ("as at left" if cell.reason == before else cell.reason, "reason") if cell.reason else (_ours(cell), "ours")
        )
        found[cell.column, "paper"] = (_number(cell.paper, mark), "paper")
        found[cell.column, "official code"] = (_number(cell.official), "official")
        found[cell.column, "ours"] = ours
        before = cell.reason
    return found | {("", name.replace("_", " ")): (row.about.get(name) or "–", "about") for name in spec.about}


def _number(value: float | None, mark: str = "") -> str:
    return "–" if value is None or pd.isna(value) else f"{value:.1f}{mark}"


def _ours(cell: tuple) -> str:
    return f"{cell.ours:.1f}" + ("" if pd.isna(cell.spread) else f" ± {cell.spread:.1f}")


def _row_marks(spec: ReportedTable, long: pd.DataFrame) -> dict[str, str]:
    noted = [row.row for row in spec.rows if row.note and row.row in set(long["row"])]
    return {label: "\N{NO-BREAK SPACE}" + _superscript(i) for i, label in enumerate(noted, start=1)}


def _superscript(number: int) -> str:
    return "".join("⁰" if digit == "0" else SUPERSCRIPTS[int(digit) - 1] for digit in str(number))


def caption(spec: ReportedTable, long: pd.DataFrame) -> str:
    """What is compared: the paper's data set, and over how many seeds ours are the mean."""
    seeds = sorted(set(long.loc[long["seeds"] > 0, "seeds"]))
    count = " or ".join(map(str, seeds)) + (" seed" if seeds == [1] else " seeds")
    spread = "mean ± standard deviation over " if seeds and seeds[-1] > 1 else ""
    return f"Percent. Paper: {spec.dataset}. Ours: {spread + count if seeds else 'not run'}."


def footnotes(spec: ReportedTable, long: pd.DataFrame) -> list[str]:
    """Protocols of our numbers, marked notes, the caveat on unconfirmed numbers, and the table's own footnotes."""
    notes = _protocols(long)
    notes += [f"{mark.strip()} {spec.row(label).note}" for label, mark in _row_marks(spec, long).items()]
    quoted = long[long["paper"].notna()]
    if any(not spec.row(row).is_verified(column) for row, column in zip(quoted["row"], quoted["column"], strict=True)):
        notes.append(UNVERIFIED)
    return notes + list(spec.footnotes)


def _protocols(long: pd.DataFrame) -> list[str]:
    """One line for each protocol of a column, or of some of its rows; columns that agree in it share the line."""
    told: dict[str, list[str]] = {}
    for column, cells in long[long["protocol"] != ""].groupby("column", sort=False):
        groups = list(cells.groupby("protocol", sort=False))
        for protocol, rows in groups:
            which = "" if len(groups) == 1 else f" ({'; '.join(rows['row'])})"
            told.setdefault(f"{which}: {protocol}", []).append(column)
    return [f"Protocol of {', '.join(columns)}{rest}" for rest, columns in told.items()]


def html_fragment(spec: ReportedTable, long: pd.DataFrame, table: str) -> str:
    """The table with its caption and footnotes as one <figure>, to be used under the style sheet of `css`."""
    words, classes = wide(spec, long)
    body = (
        words.style.format(escape="html")
        .format_index(escape="html", axis=0)
        .format_index(escape="html", axis=1)
        .set_td_classes(classes)
        .set_table_attributes('class="ws"')
        .to_html(table_uuid=table, cell_ids=False)
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in footnotes(spec, long))
    head = f"<strong>{escape(spec.title)}.</strong> {escape(caption(spec, long))}"
    return (
        f'<figure class="ws-table" id="{escape(table)}"><figcaption>{head}</figcaption>\n'
        f'<div class="ws-scroll" tabindex="0">{body}</div>\n<ul class="ws-notes">{notes}</ul></figure>'
    )


def shown(spec: ReportedTable, long: pd.DataFrame, table: str) -> Shown:
    """The finished table for display in a notebook."""
    return Shown(f"<style>{css()}</style>{html_fragment(spec, long, table)}", long)


def html_page(spec: ReportedTable, long: pd.DataFrame, table: str) -> str:
    """The finished table as a page of its own."""
    head = f'<meta charset="utf-8">{VIEWPORT}<title>{escape(spec.title)}</title><style>{css()}</style>'
    body = html_fragment(spec, long, table)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def latex(spec: ReportedTable, long: pd.DataFrame, table: str) -> str:
    """The finished table as a LaTeX float (needs booktabs), footnotes below it."""
    words, _ = wide(spec, long)
    labels = {"ours": "l", "": "l"}
    columns = "l" + "".join("l" if top == "" else labels.get(source, "r") for top, source in words.columns)
    style = words.map(_tex).style.format_index(_tex, axis=0).format_index(_tex, axis=1)
    body = style.to_latex(column_format=columns, hrules=True, multicol_align="c")
    notes = "\\\\\n".join(_tex(note) for note in footnotes(spec, long))
    head = f"\\caption{{{_tex(f'{spec.title}. {caption(spec, long)}')}}}\n\\label{{tab:{table}}}"
    return f"\\begin{{table}}\n\\centering\n{head}\n{body}\\par\\footnotesize\n{notes}\n\\end{{table}}\n"


_TEX = {
    "\N{NO-BREAK SPACE}": "~",
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "†": r"\textdagger{}",
    "–": "--",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{mark: rf"\textsuperscript{{{i}}}" for i, mark in enumerate(SUPERSCRIPTS, start=1)},
    "⁰": r"\textsuperscript{0}",
}


def _tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in str(text))
