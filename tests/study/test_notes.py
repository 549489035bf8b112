"""Notes as small tables: whatever shape a notebook noted, numbers are rounded alike."""

from weakseg.study.notes import column, note


def test_a_fact_alone_is_one_cell():
    found = note("plain_classifier_mAP", 86.8)
    assert (found.title, found.columns, found.rows) == ("plain classifier mAP", (), (("", ("86.8",)),))


def test_named_facts_are_rows():
    found = note("proposals", {"mean": 14.1, "objects": 3789, "recall50": 99.0, "best": "k-means", "lost": None})
    assert dict(found.rows) == {
        "mean": ("14.1",),
        "objects": ("3,789",),
        "recall50": ("99.0",),
        "best": ("k-means",),
        "lost": ("–",),
    }
    assert found.columns == ()


def test_facts_of_several_kinds_are_columns_and_what_is_missing_is_a_dash():
    words = {"IoU": {"kept": 15, "mAP": 3.178053830227743}, "inside": {"kept": 159, "mAP": 19.995}, "none": {"kept": 0}}
    found = note("readings", words)
    assert found.columns == ("kept", "mAP")
    assert found.rows == (("IoU", ("15", "3.2")), ("inside", ("159", "20.0")), ("none", ("0", "–")))
    assert note("nothing", {}).rows == ()


def test_a_columns_numbers_have_the_decimals_that_its_size_asks_for():
    assert column([0.7931, 0.696, 0.5]) == ["0.793", "0.696", "0.500"]
    assert column([0.35, 0.2]) == ["0.35", "0.20"]
    assert column([-3.0, -1.25]) == ["−3.00", "−1.25"]
    assert column([-12.04, float("nan"), True, [1, 2]]) == ["−12.0", "–", "yes", "[1, 2]"]
