"""A table of words as a figure: every cell is written."""

import pandas as pd
import pytest

from weakseg.plots import text_table


def test_a_text_table_writes_every_cell():
    frame = pd.DataFrame({"one": ["x", "y"], "two": ["long words", "-"]}, index=["first", "second"])
    written = {text.get_text() for text in text_table.text_table(frame, "words").axes[0].texts}
    assert written == {"", "one", "two", "first", "second", "x", "y", "long words", "-"}
    with pytest.raises(ValueError, match="figure 'words' has no cell"):
        text_table.text_table(pd.DataFrame(), "words")
