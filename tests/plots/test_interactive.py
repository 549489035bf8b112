"""Sliders for people, stills for machines."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from weakseg.plots import interactive


@pytest.fixture
def drawn():
    seen = []

    def draw(axes, **values):
        seen.append(values)
        axes.text(0, 0, str(values))

    return draw, seen


@pytest.mark.parametrize(
    ("environment", "variables", "alive"),
    [
        ({}, {}, False),
        ({"JPY_SESSION_NAME": "lesson.ipynb"}, {}, True),
        ({"COLAB_RELEASE_TAG": "1"}, {}, True),
        ({}, {"__vsc_ipynb_file__": "lesson.ipynb"}, True),
        ({"VSCODE_PID": "7"}, {}, False),  # a terminal inside an editor runs notebooks for nobody to watch
        ({"JPY_SESSION_NAME": "lesson.ipynb", "WEAKSEG_HEADLESS": "1"}, {}, False),
    ],
)
def test_only_a_known_front_end_is_live_and_the_runner_overrules_it(environment, variables, alive, monkeypatch):
    for name in ("JPY_SESSION_NAME", "COLAB_RELEASE_TAG", "WEAKSEG_HEADLESS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(interactive, "get_ipython", lambda: SimpleNamespace(user_ns=variables))
    assert interactive.live() is alive


def test_a_plain_python_process_is_not_live(monkeypatch):
    for name in ("JPY_SESSION_NAME", "COLAB_RELEASE_TAG", "WEAKSEG_HEADLESS"):
        monkeypatch.delenv(name, raising=False)
    assert not interactive.live()


def headless(monkeypatch):
    monkeypatch.setenv("WEAKSEG_HEADLESS", "1")


def test_headless_stills_show_both_ends_and_rest_the_other_slider_in_its_middle(drawn, monkeypatch):
    headless(monkeypatch)
    draw, seen = drawn
    figure = interactive.explore(draw, "t", threshold=[0.1, 0.2, 0.3], steps=list(range(11)))
    assert isinstance(figure, Figure) and plt.get_fignums() == []
    assert [v["threshold"] for v in seen[:3]] == [0.1, 0.2, 0.3] and {v["steps"] for v in seen[:3]} == {5}
    assert [v["steps"] for v in seen[3:]] == [0, 2, 5, 8, 10] and {v["threshold"] for v in seen[3:]} == {0.2}
    assert "threshold = 0.1" in [axes.get_title() for axes in figure.axes]


def test_live_sliders_redraw_when_moved(drawn, monkeypatch):
    monkeypatch.delenv("WEAKSEG_HEADLESS", raising=False)
    monkeypatch.setenv("JPY_SESSION_NAME", "lesson.ipynb")
    draw, seen = drawn
    widget = interactive.explore(draw, "t", steps=[0, 8, 64])
    slider = widget.children[0]
    assert slider.description == "steps" and slider.value == 8 and seen == [{"steps": 8}]
    slider.value = 64
    assert seen[-1] == {"steps": 64} and plt.get_fignums() == []


@pytest.mark.parametrize(("sliders", "named"), [({}, "none given"), ({"steps": []}, "steps")])
def test_a_slider_without_values_is_refused(drawn, sliders, named):
    with pytest.raises(ValueError, match=named):
        interactive.explore(drawn[0], "t", **sliders)
