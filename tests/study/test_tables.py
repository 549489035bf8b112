"""Tables: what stands in a cell, what is refused, and that files repeat."""

import json

import numpy as np
import pandas as pd
import pytest

from weakseg.study import places, render
from weakseg.study.reported import Reported, reported, reported_table
from weakseg.study.tables import COLUMNS, Measured, long_form, read_long, read_seeds, write_table

BOXES = {"boxes": "the drawn set has no boxes"}


def spec():
    return reported_table("fake", "main")


def rows(*values: tuple[str, int, float]) -> list[Measured]:
    return [Measured(row, "mIoU", seed, value, "mIoU, 60 pictures") for row, seed, value in values]


def test_ours_is_the_mean_over_seeds_and_spread_their_standard_deviation(fake):
    long = long_form(spec(), rows(("CAM", 0, 50), ("CAM", 2, 54), ("walk & more", 0, 60)), BOXES, "main")
    assert list(long.columns) == COLUMNS
    cam, walk, boxes = (line for line in long.itertuples())
    assert (cam.paper, cam.official, cam.ours, cam.seeds) == (48.3, 48.1, 52.0, 2)
    assert cam.spread == pytest.approx(np.sqrt(8), abs=1e-4)  # values 2 from their mean: (4 + 4) / (2 - 1)
    assert walk.ours == 60 and np.isnan(walk.spread) and walk.seeds == 1 and walk.reason == ""
    assert np.isnan(boxes.ours) and boxes.seeds == 0 and boxes.reason == BOXES["boxes"]


def test_a_row_of_our_own_appears_only_when_it_is_measured(fake):
    few = rows(("CAM", 0, 50), ("walk & more", 0, 60))
    assert "our own" not in set(long_form(spec(), few, BOXES, "main")["row"])
    assert "our own" in set(long_form(spec(), [*few, *rows(("our own", 0, 61))], BOXES, "main")["row"])


def test_reasons_may_be_for_a_row_a_column_or_a_cell_and_an_unreported_cell_needs_none(fake):
    other = reported_table("fake", "other")
    one = [Measured("CAM", "val", 0, 41.0, "mIoU")]
    assert list(long_form(other, one, {}, "other")["reason"]) == ["", "neither reported nor measured"]
    for reasons in (
        {"test": "labels are not public"},
        {("CAM", "test"): "labels are not public"},
        {"CAM": "labels are not public"},
    ):
        assert list(long_form(other, one, reasons, "other")["reason"]) == ["", "labels are not public"]


@pytest.mark.parametrize(
    ("measured", "reasons", "said"),
    [
        (rows(("CAM", 0, 50)), BOXES, "main: row 'walk & more', column 'mIoU' has neither value nor reason"),
        (rows(("CAN", 0, 50)), BOXES, "main: row 'CAN' is unknown; did you mean 'CAM'?"),
        ([Measured("CAM", "mIou", 0, 50.0, "")], BOXES, "column 'mIou' is unknown; did you mean 'mIoU'?"),
        (rows(("CAM", 1, float("nan"))), BOXES, "row 'CAM', column 'mIoU', seed 1: nan is no percentage"),
        (rows(("CAM", 1, 100.5)), BOXES, "100.5 is no percentage"),
        (rows(("CAM", 1, 50), ("CAM", 1, 50)), BOXES, "seed 1: measured twice"),
        (rows(("CAM", 0, 50)), {"bokses": "no"}, "'bokses' is unknown; did you mean 'boxes'?"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(fake, measured, reasons, said):
    with pytest.raises(ValueError) as error:
        long_form(spec(), measured, reasons, "main")
    assert said in str(error.value) and "\n" not in str(error.value)


def test_seeds_of_one_cell_must_share_a_protocol(fake):
    mixed = [Measured("CAM", "mIoU", 0, 50.0, "one way"), Measured("CAM", "mIoU", 1, 50.0, "another")]
    with pytest.raises(ValueError, match="seeds differ in protocol"):
        long_form(spec(), mixed, {**BOXES, "walk & more": "no"}, "main")


def test_files_on_disk_say_the_same_as_the_frame_and_repeat_their_bytes(fake):
    measured = [fake.measured("CAM", np.full(60, 96)), fake.measured("walk & more", np.full(60, 98), seed=1)]
    folder = fake.home / "fake" / "tables"
    long = write_table(folder, "main", spec(), measured, BOXES, fake.home / "runs")
    pd.testing.assert_frame_equal(read_long(folder / "main.csv"), long, check_dtype=False)
    assert read_seeds(folder / "main.seeds.csv").values.tolist() == [
        ["CAM", "mIoU", 0, 48.0],
        ["walk & more", "mIoU", 1, 49.0],
    ]
    (cam, _) = json.loads((folder / "main.evidence.json").read_text())["cells"]
    assert (fake.home / "runs" / cam["path"]).is_file() and cam["metric"] == "mIoU" and cam["key"] == "CAMmIoU0"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_table(folder, "main", spec(), measured[::-1], BOXES, fake.home / "runs")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert sorted(before) == ["main.csv", "main.evidence.json", "main.html", "main.seeds.csv", "main.tex"]


def test_evidence_must_be_there(fake):
    one = fake.measured("CAM", np.full(60, 96))
    (one.evidence.path / "evidence.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"seed 0: no evidence\.npz"):
        long_form(spec(), [one], {**BOXES, "walk & more": "no"}, "main")


def test_html_and_latex_show_numbers_marks_reasons_and_notes(fake):
    folder = fake.home / "fake" / "tables"
    write_table(
        folder, "main", spec(), rows(("CAM", 0, 50), ("CAM", 1, 52), ("walk & more", 0, 60)), BOXES, fake.home / "runs"
    )
    html, tex = (folder / "main.html").read_text(), (folder / "main.tex").read_text()
    numbers = ["51.0 ± 1.4", "66.5\N{NO-BREAK SPACE}†", "walk &amp; more\N{NO-BREAK SPACE}¹", "¹ A note of 100 %."]
    words = [
        BOXES["boxes"],
        "The text says 66.0.",
        "not confirmed from a source",
        "Protocol of mIoU: mIoU, 60 pictures",
    ]
    for said in [*numbers, *words]:
        assert said in html, said
    assert "48.3\N{NO-BREAK SPACE}†" not in html  # confirmed numbers carry no mark
    for said in (r"51.0 $\pm$ 1.4", r"66.5~\textdagger{}", r"walk \& more~\textsuperscript{1}", r"100 \%", r"\toprule"):
        assert said in tex, said
    assert not set(tex) - {chr(i) for i in range(127)}  # plain ASCII: any LaTeX takes it


def test_columns_of_one_protocol_share_a_footnote_and_rows_of_another_are_named():
    told = {"AP50": {"a": "VOC, all points", "b": "VOC, all points"}, "AP70": {"a": "VOC, all points"}}
    told["mIoU"] = {"a": "60 pictures", "b": "all pictures"}
    cells = [{"row": r, "column": c, "protocol": p} for c, rows in told.items() for r, p in rows.items()]
    assert render._protocols(pd.DataFrame(cells)) == [
        "Protocol of AP50, AP70: VOC, all points",
        "Protocol of mIoU (a): 60 pictures",
        "Protocol of mIoU (b): all pictures",
    ]


def test_the_reported_file_is_checked(fake):
    file = fake.root / "params/reported/fake.yaml"
    file.write_text(file.read_text().replace("paper: {mIoU: 66.5}", "paper: {mIOU: 66.5}"))
    with pytest.raises(ValueError, match="row 'walk & more': column 'mIOU' is unknown; did you mean 'mIoU'"):
        reported("fake")


def test_an_unknown_table_is_answered_with_the_nearest(fake):
    with pytest.raises(ValueError, match="table 'mian' is unknown; did you mean 'main'"):
        reported_table("fake", "mian")


def test_the_project_states_the_four_tables_of_irn(monkeypatch):
    monkeypatch.delenv("WEAKSEG_ROOT", raising=False)
    irn: Reported = reported("irn")
    assert list(irn.tables) == [
        "table1_pseudo_instance_labels",
        "table2_pseudo_semantic_labels",
        "table3_instance_segmentation_val",
        "table4_semantic_segmentation",
    ]
    first, third = irn.tables["table1_pseudo_instance_labels"], irn.tables["table3_instance_segmentation_val"]
    assert first.row("CAM + displacement field + class boundary").paper == {"AP50": 37.7}
    assert not first.row("CAM").is_verified("AP50") and third.row("PRM").is_verified("AP50")
    assert not third.row("PRM").is_verified("AP70") and places.root().joinpath("pyproject.toml").is_file()
