"""An executed notebook as a page: everything a reader needs, nothing that runs."""

import nbformat
import pytest
from nbformat import v4

from weakseg.study import pages

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==\n"


@pytest.fixture
def page(tmp_path):
    def write(*cells) -> str:
        nbformat.write(v4.new_notebook(cells=list(cells)), tmp_path / "n.ipynb")
        pages.write(tmp_path / "n.ipynb", tmp_path / "n.html", title="a < b")
        return (tmp_path / "n.html").read_text()

    return write


def shown(**data) -> nbformat.NotebookNode:
    data = {name.replace("__", "+").replace("_", "/", 1): value for name, value in data.items()}
    return v4.new_code_cell("f()", outputs=[v4.new_output("display_data", data=data)])


def test_words_formulas_and_code(page):
    text = page(
        v4.new_markdown_cell(r"# Title" "\n\n" r"The sum $\beta_t$ and" "\n\n" r"$$ \frac{a}{b} $$"),
        v4.new_code_cell("x = 1"),
    )
    assert "<h1" in text and "Title</h1>" in text and "<title>a &lt; b</title>" in text
    assert text.count("<math") == 2 and "<mfrac>" in text and ("β" in text or "&#x003B2;" in text)
    assert '<span class="mi">1</span>' in text


def test_a_formula_that_cannot_be_read_stays_as_it_is_written(page):
    assert r"<code> \begin{pmatrix} 1 </code>" in page(v4.new_markdown_cell(r"$$ \begin{pmatrix} 1 $$"))


def test_nothing_runs(page):
    text = page(
        shown(text_html="<b>bold</b><SCRIPT src='x'>alert(1)</script ><script>never ends"),
        v4.new_markdown_cell("words <script>alert(2)</script> after"),
    )
    assert "<b>bold</b>" in text and "after" in text and "alert" not in text and "<script" not in text.lower()
    assert "default-src 'none'" in text


def test_outputs_in_their_best_still_form(page):
    widget = v4.new_output(
        "display_data", data={"application/vnd.jupyter.widget-view+json": {}, "text/plain": "interactive(children=())"}
    )
    text = page(
        shown(image_png=PNG, text_plain="<Figure>"),
        shown(text_plain="1 < 2"),
        v4.new_code_cell(
            "g()", outputs=[widget, v4.new_output("stream", name="stdout", text="\x1b[31mred\x1b[0m & all")]
        ),
        v4.new_code_cell(
            "h()", outputs=[v4.new_output("error", ename="E", evalue="v", traceback=["Traceback", "E: v"])]
        ),
    )
    assert f"data:image/png;base64,{PNG.strip()}" in text and "&lt;Figure&gt;" not in text
    assert "data:image/jpeg;base64,anything" in page(shown(image_jpeg="anything\n", text_plain="<Figure>"))
    assert "1 &lt; 2" in text and "interactive(" not in text
    assert "red</span> &amp; all" in text and 'class="out failed"><pre>Traceback\nE: v' in text


def test_injected_parameters_are_left_to_the_notebook(page):
    cell = v4.new_code_cell("secret = 1", metadata={"tags": ["injected-parameters"]})
    assert "secret" not in page(cell)
