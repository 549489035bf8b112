"""Sliders where a person watches, a row of still panels where nobody does (papermill, nbconvert, tests)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from IPython import get_ipython
from IPython.display import display
from matplotlib.figure import Figure

from weakseg.plots import panels

STILLS = 5  # panels in a static row
# What front ends leave behind in the kernels they start: Jupyter and Colab in the environment, VS Code among the
# notebook's variables. Batch runners leave none of it.
ENVIRONMENT = ("JPY_SESSION_NAME", "COLAB_RELEASE_TAG")
VARIABLE = "__vsc_ipynb_file__"


def live() -> bool:
    """Whether a person can move a slider: a kernel started by a known front end, and WEAKSEG_HEADLESS not set."""
    if os.environ.get("WEAKSEG_HEADLESS"):
        return False
    shell = get_ipython()
    return any(name in os.environ for name in ENVIRONMENT) or (shell is not None and VARIABLE in shell.user_ns)


def explore(draw: Callable[..., None], title: str, **sliders: Sequence[float]) -> object:
    """Show `draw(axes, **values)` under sliders, each over its own values; headless, as stills at five values of each
    slider.

    In a still row the other sliders rest at their middle value. Returns a widget when `live()`, else a Figure.
    Raises ValueError for a slider without values.
    """
    empty = [name for name, values in sliders.items() if len(values) == 0]
    if empty or not sliders:
        raise ValueError(
            f"explore '{title}': slider {empty[0] if empty else '(none given)'} has no values to move over"
        )
    return _widget(draw, title, sliders) if live() else stills(draw, title, sliders)


def stills(draw: Callable[..., None], title: str, sliders: Mapping[str, Sequence[float]]) -> Figure:
    """The static form: one row for each slider, its values (at most five, ends included) as columns."""
    rest = {name: values[len(values) // 2] for name, values in sliders.items()}
    rows = {}
    for name, values in sliders.items():
        shown = [values[i] for i in np.unique(np.linspace(0, len(values) - 1, STILLS).round().astype(int))]
        rows[name] = {f"{name} = {value:g}": _at(draw, rest | {name: value}) for value in shown}
    return panels.grid(rows, title)


def _at(draw: Callable[..., None], values: Mapping[str, float]) -> panels.Panel:
    return lambda axes: draw(axes, **values)


def _widget(draw: Callable[..., None], title: str, sliders: Mapping[str, Sequence[float]]) -> object:
    import ipywidgets  # only a live front end needs it

    def redraw(**values: float) -> None:
        figure, axes = plt.subplots(figsize=(3.4, 3.4))
        draw(axes, **values)
        display(panels.finished(figure, title))

    handles = {
        name: ipywidgets.SelectionSlider(
            options=list(values), value=values[len(values) // 2], description=name, continuous_update=False
        )
        for name, values in sliders.items()
    }
    return ipywidgets.VBox([*handles.values(), ipywidgets.interactive_output(redraw, handles)])
