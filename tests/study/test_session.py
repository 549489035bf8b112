"""Sessions: the same run by hand and by papermill, and what they refuse."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

from weakseg.plots.style import PALETTE, label_colours, save, style
from weakseg.study import places
from weakseg.study.session import Session, params_model


def test_variables_of_none_mean_the_file_and_groups_replace_what_they_name(fake):
    by_hand = fake.session(seeds=None, walk=None)
    injected = fake.session(seeds=[0], walk={"beta": 8, "steps": 256})
    assert by_hand.params == injected.params
    assert (by_hand.profile, by_hand.seeds, by_hand.params.walk.beta) == ("toy", (0,), 8.0)
    other = fake.session(seeds=[0, 1, 2], walk={"steps": 64})
    assert other.seeds == (0, 1, 2) and (other.params.walk.beta, other.params.walk.steps) == (8.0, 64)
    assert other.folder == fake.home / "fake" and other.store.root == fake.home / "runs"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"walk": {"betta": 3}}, "walk.betta: unknown key; did you mean 'beta'?"),
        ({"seeds": "0,1"}, "seeds: "),
        ({"profile": "toi"}, "profiles of 'fake' are: toy"),
    ],
)
def test_a_wrong_parameter_stops_before_any_work(fake, given, said):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        fake.session(**given)
    assert said in str(error.value) and "\n" not in str(error.value)
    assert not fake.home.exists()


def test_an_unknown_paper_is_answered_with_the_nearest(fake):
    with pytest.raises(ValueError, match="paper 'fakee' is unknown; did you mean 'fake'"):
        Session.open("fakee", {})
    assert params_model("fake").__name__ == "FakeParams"


def test_outputs_go_where_the_environment_says_but_published_results_stay_in_the_project(fake, monkeypatch, tmp_path):
    monkeypatch.setenv("WEAKSEG_OUTPUTS", str(tmp_path / "elsewhere"))
    assert fake.session().folder == tmp_path / "elsewhere" / "toy" / "fake"
    assert places.published("toy") == fake.root / "outputs" / "published" / "toy"


def test_a_table_is_written_and_shown_with_its_notebook_and_inputs(fake):
    s = fake.session()
    measured = [fake.measured(row, np.full(60, 90)) for row in ("CAM", "walk & more", "boxes")]
    shown = s.table("main", measured)
    assert "45.0" in shown._repr_html_() and len(shown.frame) == 3
    about = json.loads((s.folder / "tables" / "main.json").read_text())
    assert about["notebook"] == "ablations" and about["inputs"] == sorted(m.evidence.key for m in measured)


def test_a_figure_is_two_files_and_its_title_and_repeats_its_bytes(fake):
    def draw():
        with style():
            fig, ax = plt.subplots(figsize=(3, 2))
            ax.plot([1, 2], [3, 4], label="beta")
            ax.legend()
        return s.figure("fig1", fig, "Points on a line.")

    s = fake.session()
    plt.close(draw())
    folder = s.folder / "figures"
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    plt.close(draw())
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    assert sorted(first) == ["fig1.json", "fig1.pdf", "fig1.png"]
    assert json.loads(first["fig1.json"])["title"] == "Points on a line."
    assert b"CreationDate" not in first["fig1.pdf"]


def test_a_figure_needs_a_title_and_an_id_that_is_a_file_name(fake):
    fig = plt.figure()
    with pytest.raises(ValueError, match="say in words what it shows"):
        save(fig, fake.home, "fig1", " ")
    with pytest.raises(ValueError, match=r"'a/b' cannot be an id in notes/"):
        fake.session().note("a/b", 1)
    with pytest.raises(ValueError, match=r"'a/b' cannot be an id in figures/"):
        fake.session().figure("a/b", fig, "Title")
    plt.close(fig)


def test_label_colours_differ_and_background_is_white():
    colours = label_colours(21)
    assert colours.shape == (21, 3) and (colours[0] == 1).all()
    distance = np.abs(colours[:, None] - colours[None]).max(axis=-1)  # (21, 21)
    assert distance[~np.eye(21, dtype=bool)].min() > 0.05
    assert len(set(PALETTE.values())) == 8 and label_colours(0).shape == (0, 3)


def test_a_changed_session_differs_in_what_was_named_only(fake):
    s = fake.session()
    other = s.changed(walk={"beta": 4.0})
    assert (other.params.walk.beta, other.params.walk.steps, s.params.walk.beta) == (4.0, 256, 8.0)
    assert (other.store, other.folder, other.seeds) == (s.store, s.folder, s.seeds)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"walkk": {"beta": 4.0}}, "parameter group 'walkk' is unknown; did you mean 'walk'?"),
        ({"walk": {"betta": 4.0}}, "walk: key 'betta' is unknown; did you mean 'beta'?"),
    ],
)
def test_a_change_of_nothing_there_is_refused(fake, change, said):
    with pytest.raises(ValueError) as error:
        fake.session().changed(**change)
    assert said in str(error.value)


def test_a_change_to_a_value_of_another_type_is_refused(fake):
    with pytest.raises(ValueError, match="steps"):
        fake.session().changed(walk={"steps": "many"})
