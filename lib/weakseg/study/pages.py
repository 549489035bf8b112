"""An executed notebook as one page for a browser: no script, fit for a phone, formulas as MathML."""

import html
import re
from pathlib import Path
from typing import Any

import nbformat
from latex2mathml.converter import convert as mathml
from nbconvert.filters import Highlight2HTML, ansi2html
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments.formatters import HtmlFormatter

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title><style>{style}</style></head><body><main>
{body}
</main></body></html>
"""

STYLE = """
:root { color-scheme: light; }
body { margin: 0; background: #fff; color: #1b1e23; font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1rem; }
pre { margin: 0; overflow-x: auto; font: 13px/1.45 ui-monospace, monospace; }
.code { background: #f6f7f9; border-left: 3px solid #0072b2; padding: .6rem .8rem; margin: 1rem 0 .4rem; }
.code .highlight { background: none; }
.out { padding: .2rem 0 .2rem .9rem; overflow-x: auto; }
.out img { max-width: 100%; height: auto; }
.failed { color: #a40000; }
table { border-collapse: collapse; font-size: 14px; }
td, th { padding: .2rem .6rem; }
math[display=block] { overflow: auto hidden; margin: .8rem 0; padding: .2rem 0; }
"""


def write(notebook: Path, page: Path, title: str) -> None:
    """Writes the page of an executed notebook."""
    cells = nbformat.read(notebook, as_version=4).cells
    body = "\n".join(_cell(cell) for cell in cells if "injected-parameters" not in cell.metadata.get("tags", []))
    style = STYLE + HtmlFormatter(style="friendly").get_style_defs(".highlight")
    page.write_text(PAGE.format(title=html.escape(title), style=style, body=body), encoding="utf-8")


def _cell(cell: nbformat.NotebookNode) -> str:
    if cell.cell_type == "markdown":
        return _without_scripts(
            MarkdownWithMath(renderer=_Renderer(escape=False, exclude_anchor_links=True)).render(cell.source)
        )
    if cell.cell_type != "code" or not cell.source.strip():
        return ""
    code = Highlight2HTML(pygments_lexer="python")(cell.source)
    return f'<div class="code">{code}</div>\n' + "\n".join(_output(output) for output in cell.outputs)


def _output(output: nbformat.NotebookNode) -> str:
    if output.output_type == "stream":
        return f'<div class="out"><pre>{ansi2html(output.text)}</pre></div>'
    if output.output_type == "error":
        return f'<div class="out failed"><pre>{ansi2html(chr(10).join(output.traceback))}</pre></div>'
    return f'<div class="out">{_data(output.data)}</div>'


def _data(data: dict[str, Any]) -> str:
    """The best form that needs no script; a slider has none (a notebook shows a still panel beside it)."""
    for kind in ("image/png", "image/jpeg"):
        if kind in data:
            return f'<img alt="figure" src="data:{kind};base64,{data[kind].strip()}">'
    if "application/vnd.jupyter.widget-view+json" in data:
        return ""
    if "text/html" in data:
        return _without_scripts(data["text/html"])
    if "text/markdown" in data:
        return MarkdownWithMath(renderer=_Renderer(escape=False, exclude_anchor_links=True)).render(
            data["text/markdown"]
        )
    return f"<pre>{html.escape(data.get('text/plain', ''))}</pre>"


def _without_scripts(text: str) -> str:
    return re.sub(r"<script\b.*?(</script\s*>|\Z)", "", text, flags=re.DOTALL | re.IGNORECASE)


class _Renderer(IPythonRenderer):
    """Markdown with formulas as MathML, which browsers draw without help from the network."""

    def block_math(self, body: str) -> str:
        return _formula(body, "block")

    def inline_math(self, body: str) -> str:
        return _formula(body, "inline")


def _formula(body: str, display: str) -> str:
    """A formula; one that the converter cannot read stays as its source."""
    try:
        return mathml(body.strip(), display=display)
    except Exception:  # the converter raises many kinds
        return f"<code>{html.escape(body)}</code>"
